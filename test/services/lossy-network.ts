import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const SCRIPT = join(import.meta.dirname, 'lose-packets.sh')

export type LossyNetwork = { port: number; percent: number }

/**
 * What to put in front of a command so that it runs in a network of its own, which loses packets to and from a port.
 * Not for users without rights: an embedded PostgreSQL does not run as somebody who is root in a namespace only.
 */
export const inLossyNetwork = ({ port, percent }: LossyNetwork): readonly [string, ...string[]] => [
  'unshare',
  '--net',
  'sh',
  SCRIPT,
  String(port),
  String(percent),
]

/** Why there can be none on this machine; undefined where there can. */
export function whyNoLossyNetwork(): string | undefined {
  const [program, ...options] = inLossyNetwork({ port: 1, percent: 1 })
  const { status, stderr, error } = spawnSync(program, [...options, 'true'], { encoding: 'utf8' })
  if (status === 0) return undefined
  const why = error?.message ?? stderr.trim().split('\n').at(-1)
  return `no network that loses packets on this machine: ${why}`
}
