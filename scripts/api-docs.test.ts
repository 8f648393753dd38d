import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { ROUTES } from '../server/api/table.ts'
import { API_DOCS, apiDocs } from './api-docs.ts'

const text = await readFile(API_DOCS, 'utf8')

describe('the tables of routes in docs/api.md', () => {
  it('are what `node scripts/api-docs.ts` writes: run it after a change of a route', () => {
    expect(text).toBe(apiDocs(text))
  })

  it('have a row for every route', () => {
    const rows = [...text.matchAll(/^\| `([A-Z]+) (\/[^`?]*)(?:\?[^`]*)?` \| /gm)].map(
      ([, method, path]) => `${method} ${path}`,
    )
    expect(rows.sort()).toEqual(ROUTES.map(({ method, path }) => `${method.toUpperCase()} ${path}`).sort())
  })

  it('say who may ask, and what for', () => {
    expect(apiDocs(text)).toContain('| `GET /api/v1/media/:id` | token | 200: A media item |')
  })

  it('need a place for each table', () => {
    expect(() => apiDocs(text.replace('<!-- routes: media -->', ''))).toThrow('"media"')
  })
})
