import { EventEmitter } from 'node:events'
import type { Response } from 'express'
import { expect, it } from 'vitest'
import { CLIENT_GONE } from '../http/client-gone.ts'
import { MAX_DOWNLOADS_PER_OWNER, OpenDownloads } from './open-downloads.ts'

const answer = (isDestroyed = false) =>
  Object.assign(new EventEmitter(), { destroyed: isDestroyed }) as EventEmitter & Response

it('lets one owner have so many downloads at a time, whatever others have', () => {
  const downloads = new OpenDownloads()
  const open = Array.from({ length: MAX_DOWNLOADS_PER_OWNER }, () => answer())
  for (const one of open) downloads.enter('alice', one)
  expect(() => downloads.enter('alice', answer())).toThrow(expect.objectContaining({ code: 'rate-limited' }))
  downloads.enter('bob', answer())
  open[0]?.emit('close')
  downloads.enter('alice', answer())
  expect(() => downloads.enter('alice', answer())).toThrow(expect.objectContaining({ code: 'rate-limited' }))
  for (const one of open.slice(1)) one.emit('close')
  for (const one of Array.from({ length: MAX_DOWNLOADS_PER_OWNER - 1 }, () => answer()))
    downloads.enter('alice', one)
})

it('neither begins nor counts answers whose clients have left before', () => {
  const downloads = new OpenDownloads()
  for (let left = 0; left <= MAX_DOWNLOADS_PER_OWNER; left++)
    expect(() => downloads.enter('alice', answer(true))).toThrow(CLIENT_GONE)
  downloads.enter('alice', answer())
})
