/** Reason for aborting a request's work. Shared, as making one with its stack takes as long as routing a request. */
export const CLIENT_GONE = new DOMException('The client has gone.', 'AbortError')
