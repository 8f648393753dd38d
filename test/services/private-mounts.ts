import { spawnSync } from 'node:child_process'

/** As root, and for everybody where the system lets anyone be root in a namespace of their own. */
const WAYS = [
  ['unshare', '--mount'],
  ['unshare', '--mount', '--map-root-user'],
]

let found: { command: readonly string[] | undefined } | undefined

/** The command in front of one that is to mount things that nobody else sees; undefined where that is not allowed. */
export function privateMounts(): readonly string[] | undefined {
  found ??= { command: WAYS.find(mayMount) }
  return found.command
}

function mayMount([program = '', ...options]: readonly string[]): boolean {
  const mount = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/tmp']
  return spawnSync(program, [...options, ...mount]).status === 0
}
