import { connect } from 'node:net'
import type { ClamdAddress } from '../config.ts'

/** clamd's replies to these commands are one short line. */
const MAX_REPLY_BYTES = 1024

/** The version line of the clamd at this address, such as `ClamAV 1.4.3/27780/Fri Nov 20 …`. Fails when it does not answer. */
export async function clamdVersion(address: ClamdAddress, timeoutMs: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const target = 'socketPath' in address ? { path: address.socketPath } : address
  const socket = connect({ ...target, timeout: timeoutMs })
  const deadline = setTimeout(() => socket.destroy(new Error('clamd did not answer in time')), timeoutMs)
  let reply = ''
  socket
    .setEncoding('utf8')
    .once('connect', () => socket.write('zVERSION\0'))
    .on('data', (text: string) => {
      reply += text
      if (reply.length > MAX_REPLY_BYTES) socket.destroy(new Error('unexpected reply from clamd'))
    })
    .once('error', reject)
    .once('close', () => {
      if (reply.startsWith('ClamAV ')) resolve(reply.replace('\0', '').trim())
      else reject(new Error('the service at this address is not clamd'))
    })
  try {
    return await promise
  } finally {
    clearTimeout(deadline)
    socket.destroy()
  }
}

export type Signatures = { version: number; publishedAt: Date }

/** The official database that clamd has loaded, by its version line; undefined when it runs without one. */
export function signaturesOf(version: string): Signatures | undefined {
  const [, number, published = ''] = /^ClamAV [^/]+\/(\d+)\/(.+)$/.exec(version) ?? []
  // The time zone is missing: read as UTC, at most half a day off.
  const publishedAt = new Date(`${published} UTC`)
  return number === undefined || Number.isNaN(publishedAt.getTime())
    ? undefined
    : { version: Number(number), publishedAt }
}

/** clamd names the version of its official database, if it has one. */
export function hasOfficialSignatures(version: string): boolean {
  return /^ClamAV [^/]+\/\d+/.test(version)
}
