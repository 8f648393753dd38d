/** The lowest and the highest sample of each interval of a sound. */
export type Peaks = { samplesPerPeak: number; pairs: number[] }

/**
 * Collects the peaks of a stream of samples: at most `most` pairs, however many samples come. `expected` samples give
 * nearly that many pairs; beyond that, pairs are merged by twos.
 */
export class PeakMeter {
  readonly #most: number
  #samplesPerPeak: number
  #pairs: number[] = []
  #min = 0
  #max = 0
  #gathered = 0

  constructor({ most, expected }: { most: number; expected: number }) {
    this.#most = most
    this.#samplesPerPeak = Math.max(Math.ceil(expected / most), 1)
  }

  add(samples: Int8Array): void {
    for (const sample of samples) {
      if (this.#gathered === 0) this.#begin(sample)
      else if (sample < this.#min) this.#min = sample
      else if (sample > this.#max) this.#max = sample
      this.#gathered += 1
      if (this.#gathered === this.#samplesPerPeak) {
        this.#pairs.push(this.#min, this.#max)
        this.#gathered = 0
      }
    }
  }

  /** Undefined when no sample came. */
  read(): Peaks | undefined {
    const unfinished = this.#gathered > 0 ? [this.#min, this.#max] : []
    const pairs = [...this.#pairs, ...unfinished]
    return pairs.length === 0 ? undefined : { samplesPerPeak: this.#samplesPerPeak, pairs }
  }

  #begin(sample: number): void {
    if (this.#pairs.length >= this.#most * 2) this.#halve()
    this.#min = sample
    this.#max = sample
  }

  #halve(): void {
    const pairs = this.#pairs
    this.#pairs = []
    for (let i = 0; i < pairs.length; i += 4) {
      const [min = 0, max = 0, nextMin = min, nextMax = max] = pairs.slice(i, i + 4)
      this.#pairs.push(Math.min(min, nextMin), Math.max(max, nextMax))
    }
    this.#samplesPerPeak *= 2
  }
}
