import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ROUTES } from '../server/api/table.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { requestOf } from './support/routes.ts'

describe('a route that takes JSON', () => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, page: true })
  })
  afterAll(() => landfall?.close())

  const routes = ROUTES.filter(({ body }) => body?.read?.as === 'json')
  const send = async (route: (typeof routes)[number], type: string | undefined, body: string | null) => {
    const headers = new Headers({
      Authorization: `Bearer ${landfall.token('backend', { scope: 'service' })}`,
      'X-Dev-Code': landfall.devCode ?? '',
    })
    if (type !== undefined) headers.set('Content-Type', type)
    const { method, path } = requestOf(route)
    const answer = await fetch(landfall.url + path, { method, headers, body })
    await answer.body?.cancel()
    return answer.status
  }

  it.each(routes.map((route) => [route.path, route] as const))(
    '%s takes no other body for none',
    async (_path, route) => {
      for (const type of [undefined, 'text/plain', 'application/x-www-form-urlencoded'])
        expect([type, await send(route, type, '{"maxSize":10}')]).toEqual([type, 415])
      expect(await send(route, 'application/json; charset=utf-8', '{}')).not.toBe(415)
      expect(await send(route, undefined, null)).not.toBe(415)
    },
  )
})
