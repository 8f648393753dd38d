import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { EVENTS, eventsThat } from './event-types.ts'

const read = (file: string) => readFile(new URL(`../docs/${file}`, import.meta.url), 'utf8')

/** The events that are named in a text. */
const named = (text = '') => [...text.matchAll(/[`'](\w+\.\w+)[`']/g)].map(([, type]) => type).toSorted()

describe('the list of events', () => {
  it('is the one of the docs', async () => {
    const api = await read('api.md')
    const [streamed, told] = [...api.matchAll(/`type`(?:\*\*)? is one of ((?:`[\w.]+`[,\s]*)+)/g)]
    expect(named(streamed?.[1])).toEqual(Object.keys(EVENTS).toSorted())
    expect(named(told?.[1])).toEqual(eventsThat('isTold').toSorted())
    const logged = /^\| `event` \| (.*) \|$/m.exec(await read('operations.md'))
    expect(named(logged?.[1])).toEqual(eventsThat('isEnd').toSorted())
  })
})
