/**
 * tus-js-client keeps `tus::<fingerprint>::<random>` → { uploadUrl, … } in localStorage; Uppy's fingerprint is made of
 * the file's name, type, size and time of change and the endpoint, so it is the same after a reload. These two functions
 * read that storage; only tus-js-client writes it.
 */
const prefix = 'tus::'

/** Whether this browser can go on with the upload when the same file is chosen again. */
export function canResumeHere(uploadId: string): boolean {
  return keysOf(uploadId).length > 0
}

/** Forgets an upload that was cancelled, so that the same file starts afresh. */
export function forgetStored(uploadId: string): void {
  for (const key of keysOf(uploadId)) localStorage.removeItem(key)
}

function keysOf(uploadId: string): string[] {
  return Object.keys(localStorage).filter((key) => {
    if (!key.startsWith(prefix)) return false
    try {
      const stored = JSON.parse(localStorage.getItem(key) ?? '') as { uploadUrl?: string }
      return uploadIdOf(stored.uploadUrl) === uploadId
    } catch {
      return false // not an entry of ours
    }
  })
}

/** The last segment of an upload's URL. */
export function uploadIdOf(url: string | null | undefined): string | null {
  return url?.split(/[?#]/)[0]?.split('/').at(-1) || null
}
