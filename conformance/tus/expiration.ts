import type { Answer } from '../kit/answer.ts'
import { expectStatus, expectThat, headerOf, skip } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { pause } from '../kit/waits.ts'
import { append, createFilled, head } from './client.ts'

/** RFC 9110 § 5.6.7: the one form of a date that may be sent. */
const IMF_DATE =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/
/** As long as a row waits for an upload to expire. */
const MAX_WAIT_MS = 20_000

/** An unfinished upload; skips where uploads do not, which a server need not say. */
async function begun(peer: Peer): Promise<Awaited<ReturnType<typeof createFilled>>> {
  const upload = await createFilled(peer, 1000)
  const isTold = [upload.created, upload.appended].some(({ headers }) => headers.get('Upload-Expires'))
  if (!isTold) skip('no upload is said to expire')
  return upload
}

function expiryOf(answer: Answer): number {
  const text = headerOf(answer, 'Upload-Expires')
  expectThat(
    IMF_DATE.test(text),
    `Upload-Expires is "${text}", not a date as in "Wed, 25 Jun 2014 16:00:00 GMT"`,
  )
  return Date.parse(text)
}

/** An upload that expired while we waited; skips where that takes too long. */
async function expired(peer: Peer): ReturnType<typeof begun> {
  const upload = await begun(peer)
  const left = expiryOf(upload.appended) - Date.now()
  if (left > MAX_WAIT_MS) skip(`uploads expire after ${Math.round(left / 1000)} s, which is too long to wait`)
  // The date has whole seconds, and clocks differ.
  await pause(Math.max(left, 0) + 2000)
  return upload
}

export const expirationRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Expiration', needs: ['creation', 'expiration'] },
  [
    {
      id: 'tus-expires-in-creation',
      level: 'MUST',
      requirement:
        'The answer to a creation says in Upload-Expires when the upload expires, if that is known by then.',
      check: async (peer) => void expiryOf((await begun(peer)).created),
    },
    {
      id: 'tus-expires-in-patch',
      level: 'MUST',
      requirement: 'The answer to each PATCH of an unfinished upload says in Upload-Expires when it expires.',
      async check(peer) {
        const upload = await begun(peer)
        expiryOf(upload.appended)
        expiryOf(await append(peer, upload, { from: 1000, to: 2000 }))
      },
    },
    {
      id: 'tus-expires-in-future',
      level: 'MUST',
      requirement: 'Upload-Expires of an upload that was just begun is in the future.',
      async check(peer) {
        const expiry = expiryOf((await begun(peer)).appended)
        expectThat(
          expiry > Date.now() - 1000,
          `a new upload is said to expire at ${new Date(expiry).toUTCString()}`,
        )
      },
    },
    {
      id: 'tus-expires-head-after',
      level: 'SHOULD',
      requirement: 'HEAD on an upload that expired gets 404 or 410.',
      async check(peer) {
        const { url } = await expired(peer)
        expectStatus(await head(peer, url), 404, 410)
      },
    },
    {
      id: 'tus-expires-patch-after',
      level: 'SHOULD',
      requirement: 'PATCH on an upload that expired gets 404 or 410.',
      check: async (peer) => expectStatus(await append(peer, await expired(peer), { from: 1000 }), 404, 410),
    },
  ],
)
