import type { Answer } from '../kit/answer.ts'
import { expectStatus, expectThat, headerOf, isSuccess, skip } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { pause } from '../kit/waits.ts'
import { append, createFilled, head } from './client.ts'
import { TUS } from './text.ts'

/** RFC 9110 § 5.6.7: the one form of a date that may be sent. */
const IMF_DATE =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/
/** As long as a row waits for an upload to expire. */
const MAX_WAIT_MS = 20_000
const CLOCKS_DIFFER_MS = 5000

const isTold = ({ headers }: Answer) => headers.get('Upload-Expires') !== undefined

/** An unfinished upload; skips where uploads do not, which a server need not say. */
async function begun(peer: Peer): Promise<Awaited<ReturnType<typeof createFilled>>> {
  const upload = await createFilled(peer, 1000)
  if (![upload.created, upload.appended].some(isTold)) skip('no upload is said to expire')
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

export const expirationRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'expiration'] },
  [
    {
      id: 'tus-expires-form',
      asks: TUS.expiresForm,
      requirement: 'Upload-Expires is a date of HTTP, wherever it stands.',
      async check(peer) {
        const { created, appended } = await begun(peer)
        for (const answer of [created, appended].filter(isTold)) expiryOf(answer)
      },
    },
    {
      id: 'tus-expires-in-patch',
      asks: TUS.expiresInPatch,
      requirement: 'The answer to each PATCH of an unfinished upload says in Upload-Expires when it expires.',
      async check(peer) {
        const upload = await begun(peer)
        headerOf(upload.appended, 'Upload-Expires')
        headerOf(await append(peer, upload, { from: 1000, to: 2000 }), 'Upload-Expires')
      },
    },
    {
      id: 'tus-expires-in-future',
      asks: TUS.expiresMeans,
      requirement: 'Upload-Expires of an upload that was just begun is in the future.',
      after: ['tus-expires-form', 'tus-expires-in-patch'],
      async check(peer) {
        const expiry = expiryOf((await begun(peer)).appended)
        // Clocks differ, and the date has whole seconds.
        const isAhead = expiry > Date.now() - CLOCKS_DIFFER_MS
        expectThat(isAhead, `a new upload is said to expire at ${new Date(expiry).toUTCString()}`)
      },
    },
    {
      id: 'tus-expires-after',
      asks: TUS.expired,
      requirement: 'HEAD and PATCH on an upload that expired and was removed get 404 or 410.',
      after: ['tus-expires-form', 'tus-expires-in-patch'],
      async check(peer) {
        const upload = await expired(peer)
        const answer = await head(peer, upload.url)
        if (isSuccess(answer)) skip('the server has not removed the upload, which it may')
        expectStatus(answer, 404, 410)
        expectStatus(await append(peer, upload, { from: 1000 }), 404, 410)
      },
    },
  ],
)
