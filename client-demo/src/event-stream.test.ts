import { expect, it } from 'vitest'
import { createEventStreamParser } from './event-stream.ts'

const stream =
  ': hello\n\nretry: 1500\n\nevent: step\ndata: {"step":"scan"}\n\nid: 42\r\nevent: state\r\ndata: one\r\ndata: two\r\n\r\n'
const events = [
  { type: 'step', data: '{"step":"scan"}' },
  { type: 'state', data: 'one\ntwo' },
]

it('reads messages, and leaves comments and empty ones out', () => {
  const parser = createEventStreamParser()
  expect(parser.push(stream)).toEqual(events)
  expect(parser.lastEventId()).toBe('42')
  expect(parser.retryMs()).toBe(1500)
})

it('reads the same messages wherever the network cuts the text', () => {
  for (let size = 1; size < stream.length; size += 1) {
    const parser = createEventStreamParser()
    const seen = []
    for (let at = 0; at < stream.length; at += size) seen.push(...parser.push(stream.slice(at, at + size)))
    expect(seen).toEqual(events)
  }
})

it('keeps an unfinished message to itself', () => {
  expect(createEventStreamParser().push('event: step\ndata: half')).toEqual([])
})
