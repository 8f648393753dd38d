import type { AddressesOf } from '../http/addresses.ts'

/** What a protocol needs of its server. */
export type ProtocolOptions = {
  /** The path of uploads on the server. */
  path: string
  /** The addresses that an answer to this request tells. */
  addressesOf: AddressesOf
  /** Called with the size of each chunk that arrives. */
  countBytes: (bytes: number) => void
}
