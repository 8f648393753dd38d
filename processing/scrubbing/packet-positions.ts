import type { PacketPosition } from '../tools/ffmpeg.ts'

const CHUNK = 65_536

/** Positions of the packets of one stream: 12 bytes each. */
class Places {
  length = 0
  readonly #positions: Float64Array[] = []
  readonly #sizes: Uint32Array[] = []

  add(position: number, bytes: number): void {
    const [chunk, n] = [Math.floor(this.length / CHUNK), this.length % CHUNK]
    if (n === 0) {
      this.#positions.push(new Float64Array(CHUNK))
      this.#sizes.push(new Uint32Array(CHUNK))
    }
    const [positions, sizes] = [this.#positions[chunk], this.#sizes[chunk]]
    if (!positions || !sizes) return
    positions[n] = position
    sizes[n] = bytes
    this.length += 1
  }

  position(n: number): number {
    return this.#positions[Math.floor(n / CHUNK)]?.[n % CHUNK] ?? Number.POSITIVE_INFINITY
  }

  bytes(n: number): number {
    return this.#sizes[Math.floor(n / CHUNK)]?.[n % CHUNK] ?? 0
  }
}

/** Positions of packets, added stream by stream in file order and read in file order across streams. */
export class PacketPositions {
  length = 0
  readonly #streams = new Map<number, Places>()

  /** Returns whether it lies after the previous packet of its stream. */
  add({ stream, position, bytes }: Omit<PacketPosition, 'beside'>): boolean {
    const places = this.#streams.get(stream) ?? new Places()
    this.#streams.set(stream, places)
    if (places.length > 0 && position < places.position(places.length - 1)) return false
    places.add(position, bytes)
    this.length += 1
    return true
  }

  *[Symbol.iterator](): Generator<Omit<PacketPosition, 'beside'>> {
    const heads = [...this.#streams].map(([stream, places]) => ({ stream, places, next: 0 }))
    for (;;) {
      let first: (typeof heads)[number] | undefined
      let position = Number.POSITIVE_INFINITY
      for (const head of heads) {
        const own = head.places.position(head.next)
        if (head.next >= head.places.length || own >= position) continue
        first = head
        position = own
      }
      if (!first) return
      yield { stream: first.stream, position, bytes: first.places.bytes(first.next) }
      first.next += 1
    }
  }
}
