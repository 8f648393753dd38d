import { newMediaId, newUploadId } from '../../ledger/ids.ts'
import { asUploadId } from '../support/ids.ts'
import type { Landfall } from '../support/landfall.ts'
import { rawRequest } from '../support/raw-http.ts'
import { asMp4 } from '../support/sample-bytes.ts'
import { createId, patch, terminate } from '../support/tus.ts'
import type { Place } from './drawn.ts'

export const OWNER = 'fuzzer'
export const OTHER_OWNER = 'somebody'
export const OWNERS = [OWNER, OTHER_OWNER] as const

const SIZE = 9000
const BYTES = asMp4(Buffer.alloc(SIZE, 7))
/** Requests change what they are about: after so many of them there is a new upload in its place. */
const USES = 10

type Standing = { id: string; uses: number }

/** Uploads in every state, made anew as requests use them up. */
export class Places {
  readonly token: string
  readonly #landfall: Landfall
  readonly #standing = new Map<Place | 'media', Promise<Standing>>()

  constructor(landfall: Landfall) {
    this.#landfall = landfall
    this.token = landfall.token(OWNER)
  }

  /** The ids of these, as they stand. */
  async idsOf(places: Iterable<Place | 'media'>): Promise<Map<string, string>> {
    const ids = new Map<string, string>()
    for (const place of places) ids.set(place, await this.#idOf(place))
    return ids
  }

  async #idOf(place: Place | 'media'): Promise<string> {
    const before = await this.#standing.get(place)
    if (before && before.uses < USES) {
      before.uses += 1
      return before.id
    }
    // A call that comes meanwhile takes the one that is being made.
    const making = this.#make(place).then((id): Standing => ({ id, uses: 1 }))
    this.#standing.set(place, making)
    return (await making).id
  }

  async #make(place: Place | 'media'): Promise<string> {
    switch (place) {
      case 'open':
        return await this.#create()
      case 'half':
        return await this.#append(await this.#create(), BYTES.subarray(0, SIZE / 2))
      case 'complete':
        return await this.#append(await this.#create(), BYTES)
      case 'terminated': {
        const id = await this.#create()
        await terminate(this.#landfall, OWNER, id)
        return id
      }
      case 'rejected':
        return await this.#append(await this.#create(), Buffer.alloc(SIZE, 'no media '), 415)
      case 'deferred':
        return this.#idIn(
          await this.#send('POST', '/files', { 'Tus-Resumable': '1.0.0', 'Upload-Defer-Length': '1' }),
        )
      case 'partial':
        return await this.#create({ 'Upload-Concat': 'partial' })
      case 'partial-done':
        return await this.#append(await this.#create({ 'Upload-Concat': 'partial' }), BYTES)
      case 'final-open': {
        const parts = [await this.#make('partial-done'), await this.#make('partial')]
        const list = parts.map((id) => `/files/${id}`).join(' ')
        return this.#idIn(
          await this.#send('POST', '/files', { 'Tus-Resumable': '1.0.0', 'Upload-Concat': `final;${list}` }),
        )
      }
      case 'other':
        return await createId(this.#landfall, OTHER_OWNER, { size: SIZE })
      case 'draft-open':
        return await this.#draft('?0')
      case 'draft-half':
        return await this.#draft('?0', BYTES.subarray(0, SIZE / 2))
      case 'draft-complete':
        return await this.#draft('?1', BYTES)
      case 'unknown':
        return newUploadId()
      case 'media': {
        const uploadId = await this.#make('complete')
        const media = await this.#landfall.db
          .selectFrom('landfall.media')
          .select('id')
          .where('upload_id', '=', asUploadId(uploadId))
          .executeTakeFirst()
        return media?.id ?? newMediaId()
      }
    }
  }

  async #create(headers: Record<string, string> = {}): Promise<string> {
    return await createId(this.#landfall, OWNER, { size: SIZE, headers })
  }

  async #append(id: string, body: Uint8Array, status = 204): Promise<string> {
    const answer = await patch(this.#landfall, OWNER, id, { offset: 0, body })
    if (answer.status !== status)
      throw new Error(`an append answered ${answer.status}: ${await answer.text()}`)
    await answer.body?.cancel()
    return id
  }

  async #draft(complete: string, body?: Uint8Array): Promise<string> {
    const headers = { 'Upload-Complete': complete, 'Upload-Length': String(SIZE) }
    return this.#idIn(await this.#send('POST', '/files', headers, body))
  }

  #send(method: string, path: string, headers: Record<string, string>, body?: Uint8Array) {
    const all = { Authorization: `Bearer ${this.token}`, ...headers }
    return rawRequest(this.#landfall, { method, path, headers: all, body })
  }

  #idIn({ status, headers, body }: { status: number; headers: { location?: string }; body: string }): string {
    const id = headers.location?.split('/').at(-1)
    if (status !== 201 || id === undefined) throw new Error(`a creation answered ${status}: ${body}`)
    return id
  }
}
