const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i
/** RFC 9110 § 7.2, without what only odd clients send: user names, escapes. */
const HOST = /^(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?$/

const MAX_PORT = 65535

/** Whether a host, with or without a port, is a loopback name. */
export const isLoopbackHost = (host: string): boolean => LOOPBACK.test(host)

/** A host as it may be part of an address: a name or an IP address, with or without a port. Undefined for anything else. */
export function parseHost(text: string | undefined): { host: string; hasPort: boolean } | undefined {
  const found = text === undefined ? undefined : HOST.exec(text)
  if (!found) return undefined
  const [host, port] = found
  if (port !== undefined && (Number(port) > MAX_PORT || Number(port) === 0)) return undefined
  return { host, hasPort: port !== undefined }
}
