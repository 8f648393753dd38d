import { expect, it } from 'vitest'
import { PacketPositions } from './packet-positions.ts'

it('tells the packets of all streams in the order of the file', () => {
  const places = new PacketPositions()
  for (const [stream, position] of [
    [0, 10],
    [0, 30],
    [2, 5],
    [2, 20],
    [0, 40],
  ] as const)
    expect(places.add({ stream, position, bytes: position + 1 })).toBe(true)
  expect([...places]).toEqual(
    [
      [2, 5],
      [0, 10],
      [2, 20],
      [0, 30],
      [0, 40],
    ].map(([stream, position = 0]) => ({ stream, position, bytes: position + 1 })),
  )
})

it('takes no packet that lies in front of the one before it in its stream', () => {
  const places = new PacketPositions()
  places.add({ stream: 0, position: 10, bytes: 1 })
  expect(places.add({ stream: 0, position: 9, bytes: 1 })).toBe(false)
  expect(places.length).toBe(1)
})

it('takes 12 bytes of memory for a packet', () => {
  const before = process.memoryUsage()
  const places = new PacketPositions()
  for (let n = 0; n < 1_000_000; n++) places.add({ stream: n % 2, position: n, bytes: 1 })
  const after = process.memoryUsage()
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16_000_000)
  let sum = 0
  for (const { bytes } of places) sum += bytes
  expect(sum).toBe(1_000_000)
})
