import { randomBytes } from 'node:crypto'

declare const brand: unique symbol

/** 128 random bits: 22 characters of base64url. Also the last segment of the storage key. */
export type UploadId = string & { readonly [brand]: 'UploadId' }
export type MediaId = string & { readonly [brand]: 'MediaId' }
/** The `sub` of a token. Every ledger function for requests takes the owner whose rows it may touch. */
export type OwnerId = string & { readonly [brand]: 'OwnerId' }

const ID = /^[A-Za-z0-9_-]{22}$/

const random = (): string => randomBytes(16).toString('base64url')

export const newUploadId = (): UploadId => random() as UploadId
export const newMediaId = (): MediaId => random() as MediaId

/** The id in `text`; undefined when it does not look like one of ours. */
export const parseUploadId = (text: string): UploadId | undefined =>
  ID.test(text) ? (text as UploadId) : undefined
export const parseMediaId = (text: string): MediaId | undefined =>
  ID.test(text) ? (text as MediaId) : undefined
