/** Why work for a request is given up. One for all: to make one, with its stack, takes as long as routing a request. */
export const CLIENT_GONE = new DOMException('The client has gone.', 'AbortError')
