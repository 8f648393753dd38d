import { describe, expect, it, vi } from 'vitest'
import type { EventRow } from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import { asOwnerId, asUploadId } from '../../test/support/ids.ts'
import { EventReader } from './event-reader.ts'
import type { Position } from './positions.ts'
import type { ProgressBoard } from './progress-board.ts'
import type { StreamMessage, Transport } from './transport.ts'

const EVENTS = 10_000

/** The other end takes bytes when it is told to, and never by itself. */
class Peer implements Transport {
  readonly taken: StreamMessage[] = []
  bufferedBytes = 0
  maxBuffered = 0
  #waiting: StreamMessage[] = []
  #room = () => {}
  #closed = () => {}

  send(messages: readonly StreamMessage[]): void {
    this.#waiting.push(...messages)
    this.bufferedBytes += JSON.stringify(messages).length
    this.maxBuffered = Math.max(this.maxBuffered, this.bufferedBytes)
  }

  beat(): void {}

  end(): void {
    this.#closed()
  }

  onRoom(listener: () => void): void {
    this.#room = listener
  }

  onClosed(listener: () => void): void {
    this.#closed = listener
  }

  /** Returns whether there was anything. */
  take(): boolean {
    const taken = this.#waiting.splice(0)
    this.bufferedBytes = 0
    this.taken.push(...taken)
    this.#room()
    return taken.length > 0
  }
}

/** Events of an owner, all there from the beginning. */
class Ready implements Position {
  readonly #metadata: Record<string, string>
  #at = 0

  constructor(metadata: Record<string, string>) {
    this.#metadata = metadata
  }

  async next(limit: number): Promise<EventRow[]> {
    const left = Math.max(0, EVENTS - this.#at)
    return Array.from({ length: Math.min(limit, left) }, (_, i) => event(this.#at + i + 1, this.#metadata))
  }

  passed(id: number): void {
    this.#at = id
  }
}

const event = (id: number, metadata: Record<string, string>): EventRow => ({
  id,
  type: 'upload.created',
  upload_id: asUploadId(`upload ${id}`),
  media_id: null,
  owner_id: asOwnerId('alice'),
  data: { padding: 'x'.repeat(300) },
  created_at: new Date(0),
  received_size: null,
  described: { attachedTo: null, metadata },
})

describe('a reader that is slow', () => {
  it.each([
    ['no', {}, 128],
    ['much', { note: 'x'.repeat(8000) }, 160],
  ])(
    'is told every state change and no progress meanwhile, and holds little of it here, with %s metadata',
    async (_what, metadata, maxKib) => {
      const peer = new Peer()
      const reader = new EventReader({
        board: { of: () => ({}) } as unknown as ProgressBoard,
        ownerId: 'alice' as OwnerId,
        upload: undefined,
        isOver: false,
        position: new Ready(metadata),
        look: () => {},
        transport: peer,
        heartbeatMs: 60_000,
        onError: (error) => {
          throw error
        },
      })
      await vi.waitFor(() => expect(peer.bufferedBytes).toBeGreaterThan(64 * 1024))
      for (let tick = 0; tick < 1000; tick++) {
        reader.tick(`upload ${tick % 100}`, 5000)
        reader.step(`upload ${tick % 100}`, 'scan')
        reader.catchUp()
      }
      while (peer.take()) await new Promise(setImmediate)
      const ids = peer.taken.flatMap(({ id }) => (id === undefined ? [] : [id]))
      expect(ids).toEqual(Array.from({ length: EVENTS }, (_, i) => i + 1))
      expect(peer.taken.filter((message) => message.event === 'step')).toEqual([])
      expect(peer.maxBuffered).toBeLessThan(maxKib * 1024)

      // It has caught up, and is told again.
      reader.tick('upload 1', 5000)
      await vi.waitFor(() => {
        peer.take()
        expect(peer.taken.at(-1)?.event).toBe('progress')
      })
      reader.end('over')
    },
  )
})
