import { describe, expect, it } from 'vitest'
import { type Attachable, checkAttachment } from './attachment.ts'
import { Refusal } from './refusal.ts'

const refusal = (allowed: Attachable, type: string, id: string): Refusal | undefined => {
  try {
    checkAttachment(allowed, { type, id })
    return undefined
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
}

describe('what a caller may attach a file to', () => {
  it.each<[Attachable, string, string]>([
    [undefined, 'post', '7'],
    [['post:7'], 'post', '7'],
    [['course:*', 'post:*'], 'post', '7'],
    [['post:a:b'], 'post', 'a:b'],
    [['post:*'], 'post', '*'],
  ])('%j allows %s:%s', (allowed, type, id) => {
    expect(refusal(allowed, type, id)).toBeUndefined()
  })

  it.each<[Attachable, string, string]>([
    [[], 'post', '7'],
    [['post:7'], 'post', '77'],
    [['post:7'], 'post', '*'],
    [['post:7*'], 'post', '77'],
    [['*:*', '*'], 'post', '7'],
    [['post'], 'post', '7'],
    [['posts:*'], 'post', '7'],
    [['POST:7'], 'post', '7'],
  ])('%j does not allow %s:%s, and says so', (allowed, type, id) => {
    expect(refusal(allowed, type, id)).toMatchObject({
      code: 'forbidden',
      message: `The token does not allow to attach a file to "${type}:${id}".`,
    })
  })

  it('is nothing, for every caller', () => {
    for (const allowed of [undefined, [], ['post:7']]) expect(checkAttachment(allowed, null)).toBeUndefined()
  })
})
