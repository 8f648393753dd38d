/** Reads bits, the highest first. After the end it reads zeros. */
export class BitReader {
  /** Position in bits. */
  at = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return 8 * this.#bytes.length - this.at
  }

  /** At most 32 bits, as a number. */
  read(bits: number): number {
    let value = 0
    for (let n = 0; n < bits; n++, this.at++)
      value = value * 2 + (((this.#bytes[this.at >> 3] ?? 0) >> (7 - (this.at & 7))) & 1)
    return value
  }

  align(): void {
    this.at = Math.ceil(this.at / 8) * 8
  }

  clear(bits: number): void {
    const end = Math.min(this.at + bits, 8 * this.#bytes.length)
    while (this.at < end) {
      if (this.at % 8 === 0 && end - this.at >= 8) {
        const whole = Math.floor((end - this.at) / 8)
        this.#bytes.fill(0, this.at / 8, this.at / 8 + whole)
        this.at += 8 * whole
        continue
      }
      this.#bytes[this.at >> 3] = (this.#bytes[this.at >> 3] ?? 0) & ~(0x80 >> (this.at & 7))
      this.at += 1
    }
  }
}
