import {
  isName,
  type MediaId,
  newLinkId,
  newMediaId,
  newTicketId,
  newUploadId,
  parseMediaId,
  parseUploadId,
  type UploadId,
} from '../../ledger/ids.ts'
import type { Subject } from '../../ledger/owner-of.ts'
import { HLS_NUMBERS, type HlsNumber } from '../../storage/store/keys.ts'

/** A variable part of a path. */
export type Param<T = unknown> = {
  /** Its value; undefined for a malformed text, which is answered with 404. */
  parse(text: string): T | undefined
  /** A regular expression of what `parse` accepts, for OpenAPI. */
  pattern: string
  /** A text that `parse` accepts, of nothing that exists. */
  sample(): string
  /** What it is the id of, where that belongs to an owner; or it is the name of an owner. */
  subject?: Subject | 'owner'
}

const ID = '^[A-Za-z0-9_-]{22}$'
const TICKET_ID = '^tkt_[A-Za-z0-9_-]{22}$'
const LINK_ID = '^lnk_[A-Za-z0-9_-]{22}$'
const DELIVERY_ID = '^msg_[0-9a-f]{32}$'

export const UPLOAD_ID: Param<UploadId> = {
  parse: parseUploadId,
  pattern: ID,
  sample: newUploadId,
  subject: 'upload',
}
export const MEDIA_ID: Param<MediaId> = {
  parse: parseMediaId,
  pattern: ID,
  sample: newMediaId,
  subject: 'media',
}

export const WEBHOOK_DELIVERY_ID: Param<string> = {
  parse: (text) => (new RegExp(DELIVERY_ID).test(text) ? text : undefined),
  pattern: DELIVERY_ID,
  sample: () => `msg_${'0'.repeat(32)}`,
  subject: 'delivery',
}

export const TICKET: Param<string> = {
  parse: (text) => (new RegExp(TICKET_ID).test(text) ? text : undefined),
  pattern: TICKET_ID,
  sample: newTicketId,
  subject: 'ticket',
}

/** Of a link to the media item of the path. */
export const LINK: Param<string> = {
  parse: (text) => (new RegExp(LINK_ID).test(text) ? text : undefined),
  pattern: LINK_ID,
  sample: newLinkId,
}

/** The number of a part of a direct upload. */
export const PART_NUMBER: Param<number> = {
  parse(text) {
    const number = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : undefined
    return number !== undefined && number <= MAX_PART_NUMBER ? number : undefined
  },
  pattern: '^[1-9]\\d{0,4}$',
  sample: () => '1',
}
const MAX_PART_NUMBER = 10_000

/** The name of an owner, as tokens have it. */
export const OWNER: Param<string> = {
  parse: (text) => (isName(text) ? text : undefined),
  pattern: '^.{1,255}$',
  sample: () => 'somebody',
  subject: 'owner',
}

/** A file of an HLS rendition. */
export const HLS_FILE: Param<{ number: HlsNumber; type: 'm3u8' | 'mp4' }> = {
  parse(text) {
    const number = HLS_NUMBERS.find((number) => text.startsWith(`${number}.`))
    const type = (['m3u8', 'mp4'] as const).find((type) => text === `${number}.${type}`)
    return number && type && { number, type }
  },
  pattern: '^[1-6]\\.(m3u8|mp4)$',
  sample: () => '1.m3u8',
}
