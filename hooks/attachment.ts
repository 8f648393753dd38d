import type { AttachedTo } from '../ledger/description.ts'
import { Refusal } from './refusal.ts'

/** What a caller may attach files to: `type:id`, or `type:*` for every id of a type. Undefined: anything. */
export type Attachable = readonly string[] | undefined

/**
 * Whether a caller may attach a file to this. Attaching it to nothing is always allowed. Fails with a `Refusal` of the
 * code `forbidden`.
 */
export function checkAttachment(allowed: Attachable, attachedTo: AttachedTo | null): void {
  if (allowed === undefined || attachedTo === null) return
  const { type, id } = attachedTo
  if (allowed.includes(`${type}:*`) || allowed.includes(`${type}:${id}`)) return
  throw new Refusal(
    'forbidden',
    `The token does not allow to attach a file to ${JSON.stringify(`${type}:${id}`)}.`,
  )
}
