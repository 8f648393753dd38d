import { describe, expect, it } from 'vitest'
import { FileView } from '../file-view.ts'
import { FORMATS } from '../formats.ts'
import { readHeader } from './header-reader.ts'
import { NO_FACTS } from './header-walk.ts'

const MP4 = FORMATS.find(({ contentType }) => contentType === 'video/mp4')

describe('the header of a whole file', () => {
  it('is not read from a file of too many pieces, which the decoder then judges', async () => {
    if (!MP4) throw new Error('there is no mp4')
    const boxBytes = 20 * 1024
    const size = 5000 * boxBytes
    let reads = 0
    // Each box is farther from the last one than is read at once.
    const read = async (start: number, end: number) => {
      reads += 1
      const bytes = Buffer.alloc(end - start + 1)
      for (let at = Math.ceil(start / boxBytes) * boxBytes; at + 8 <= end; at += boxBytes) {
        bytes.writeUInt32BE(boxBytes, at - start)
        bytes.write('free', at - start + 4)
      }
      return bytes
    }
    expect(await readHeader(MP4, new FileView(size, read))).toEqual(NO_FACTS)
    expect(reads).toBeGreaterThan(1000)
    expect(reads).toBeLessThan(2500)
  })
})
