import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES } from './block-pool.ts'
import { PartBuffer } from './part-buffer.ts'

const bytes = (count: number) => Buffer.from(Array.from({ length: count }, (_, i) => (i * 31) % 251))

describe('a part buffer', () => {
  it.each([1, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])(
    'holds what it was given, in pieces of %i bytes, and its hash',
    (piece) => {
      const all = bytes(3 * BLOCK_BYTES - 17).subarray(0, piece === 1 ? 3000 : undefined)
      const buffer = new PartBuffer()
      for (let i = 0; i < 3; i++) buffer.addBlock(Buffer.alloc(BLOCK_BYTES))
      for (let at = 0; at < all.length; at += piece) buffer.append(all.subarray(at, at + piece))
      // Read twice, as when it is sent twice.
      for (let i = 0; i < 2; i++) expect(Buffer.concat([...buffer.chunks()]).equals(all)).toBe(true)
      expect(buffer.size).toBe(all.length)
      expect(buffer.room).toBe(3 * BLOCK_BYTES - all.length)
      expect(buffer.sha256).toBe(createHash('sha256').update(all).digest('hex'))
    },
  )

  it('refuses what it has no room for', () => {
    const buffer = new PartBuffer()
    buffer.addBlock(Buffer.alloc(BLOCK_BYTES))
    expect(() => buffer.append(bytes(BLOCK_BYTES + 1))).toThrow('no room')
  })

  it('gives its blocks back once', () => {
    const buffer = new PartBuffer()
    buffer.addBlock(Buffer.alloc(BLOCK_BYTES))
    buffer.append(bytes(10))
    expect(buffer.release()).toHaveLength(1)
    expect(buffer.release()).toHaveLength(0)
    expect([buffer.size, [...buffer.chunks()].length]).toEqual([0, 0])
  })
})
