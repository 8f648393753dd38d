import { once } from 'node:events'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { publicLookup, refusePrivateLiteral } from '../../system/addresses.ts'
import type { Config } from '../config.ts'
import { messageOf } from '../process/message-of.ts'
import { error, type Finding, found, ok, warning } from './finding.ts'

const CONNECT_MS = 5_000

/**
 * Connects to the receiver of webhooks and the analysis engine, without sending anything. Names only the host, as the
 * rest of the URL may contain a token.
 */
export async function checkAddresses(config: Config): Promise<readonly Finding[]> {
  const { WEBHOOK_URL, WEBHOOK_ALLOW_PRIVATE, ANALYSIS, ANALYSIS_URL } = config
  const findings = [
    WEBHOOK_URL === undefined ? [] : checkAddress('WEBHOOK_URL', WEBHOOK_URL, WEBHOOK_ALLOW_PRIVATE),
    ANALYSIS === 'off' || ANALYSIS_URL === undefined ? [] : checkAddress('ANALYSIS_URL', ANALYSIS_URL, true),
  ]
  return (await Promise.all(findings)).flat()
}

async function checkAddress(
  name: string,
  address: string,
  allowPrivate: boolean,
): Promise<readonly Finding[]> {
  const url = new URL(address)
  const check = async () => {
    try {
      await reach(url, allowPrivate)
    } catch (failure) {
      return [error(`${name}: ${url.host} cannot be reached (${messageOf(failure)})`)]
    }
    return url.protocol === 'https:' || allowPrivate
      ? [ok(`${name}: ${url.host} can be reached`)]
      : [warning(`${name}: ${url.host} can be reached, but not by https: the data can be read in transit`)]
  }
  return await found(name, check)
}

/** Fails without a trusted connection within five seconds. */
async function reach(url: URL, allowPrivate: boolean): Promise<void> {
  if (!allowPrivate) refusePrivateLiteral(url)
  const isTls = url.protocol === 'https:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const target = {
    host,
    port: Number(url.port) || (isTls ? 443 : 80),
    ...(allowPrivate ? {} : { lookup: publicLookup() }),
  }
  const socket: Socket = isTls ? connectTls({ ...target, servername: host }) : connectPlain(target)
  try {
    await once(socket, isTls ? 'secureConnect' : 'connect', { signal: AbortSignal.timeout(CONNECT_MS) })
  } catch (failure) {
    if (failure instanceof Error && failure.name === 'AbortError')
      throw new Error(`no answer within ${CONNECT_MS / 1000} s`, { cause: failure })
    throw failure
  } finally {
    socket.destroy()
  }
}
