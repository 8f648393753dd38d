import type { IncomingMessage } from 'node:http'
import type { AddressesOf } from '../http/addresses.ts'
import type { BodyOptions } from './request-body.ts'

/** What a protocol needs of its server. */
export type ProtocolOptions = BodyOptions & {
  /** The path of uploads on the server. */
  path: string
  /** The addresses that an answer to this request tells. */
  addressesOf: AddressesOf
  /** Whether interim responses (RFC 9110 § 15.2) to a request reach its client. */
  passesInterim: (request: IncomingMessage) => boolean
}
