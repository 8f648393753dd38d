import { expect } from 'vitest'
import type { Landfall } from './landfall.ts'

/** What the API says of uploads and quotas, as far as tests look at it. */

export type UploadStatus = {
  id: string
  state: string
  offset: number
  size: number | null
  percent: number | null
  bytesPerSecond: number | null
  etaSeconds: number | null
  mediaId: string | null
  reason: { code: string; detail: string } | null
}

export type QuotaJson = {
  bytes: { used: number; reserved: number }
  uploads: { finished: number; open: number }
}

export type Asking = Pick<Landfall, 'as'>

export async function statusOf(landfall: Asking, sub: string, uploadId: string): Promise<UploadStatus> {
  const response = await landfall.as(sub)(`/api/v1/uploads/${uploadId}`)
  if (response.status !== 200) throw new Error(`the status answered ${response.status}`)
  return (await response.json()) as UploadStatus
}

export async function quotaOf(landfall: Asking, sub: string): Promise<QuotaJson> {
  const { bytes, uploads } = (await (await landfall.as(sub)('/api/v1/quota')).json()) as QuotaJson
  return {
    bytes: { used: bytes.used, reserved: bytes.reserved },
    uploads: { finished: uploads.finished, open: uploads.open },
  }
}

export const NOTHING_USED: QuotaJson = {
  bytes: { used: 0, reserved: 0 },
  uploads: { finished: 0, open: 0 },
}

/** Waits until the server has read this many bytes of an upload, acknowledged or not. */
export async function untilReceived(
  landfall: Asking,
  sub: string,
  uploadId: string,
  bytes: number,
): Promise<void> {
  await expect
    .poll(async () => (await statusOf(landfall, sub, uploadId)).offset, { timeout: 10_000, interval: 50 })
    .toBeGreaterThanOrEqual(bytes)
}
