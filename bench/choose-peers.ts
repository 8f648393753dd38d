import { CASES, type Case, type StorageKind } from './cases.ts'
import type { BenchOptions } from './options.ts'
import type { Tusd } from './subjects/install-tusd.ts'
import { type Peer, raw, stock, tusd } from './subjects/peers.ts'
import type { PeerName } from './subjects/subject.ts'

type Choice = Pick<BenchOptions, 'cases' | 'peers'>

/** Whom a case is measured beside on a storage: those that were named, otherwise those of the case. */
export function peerNamesOf({ peers }: Choice, which: Case, storage: StorageKind): readonly PeerName[] {
  return (peers ?? which.peers).filter((name) => name !== 'raw' || storage === 'disk')
}

/** Whether a case of the run is to be measured beside this peer, on whichever storage. */
export function isWanted(choice: Choice, peer: PeerName): boolean {
  const cases = CASES.filter(({ name }) => choice.cases.includes(name))
  return cases.some((which) => (choice.peers ?? which.peers).includes(peer))
}

/** These peers, without tusd where it could not be installed. */
export function openPeers(names: readonly PeerName[], installed: Tusd | undefined): Peer[] {
  const isInstalled = installed !== undefined && 'program' in installed
  return [stock, raw, ...(isInstalled ? [tusd(installed.program)] : [])].filter(({ name }) =>
    names.includes(name),
  )
}
