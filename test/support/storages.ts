import { describe } from 'vitest'
import { requires } from '../services/requirements.ts'
import type { StorageKind } from './landfall.ts'

const STORAGES: readonly StorageKind[] = ['disk', 's3']

type Suite = (storage: StorageKind) => void

/** A suite that runs once for each storage; in a bucket where this machine has a gateway. */
export function describeStorages(name: string, suite: Suite): void {
  describeUnless(false, name, suite)
}

/** `describeStorages.skipIf(condition)(name, suite)`, as `describe.skipIf`. */
describeStorages.skipIf = (isSkipped: boolean) => (name: string, suite: Suite) =>
  describeUnless(isSkipped, name, suite)

function describeUnless(isSkipped: boolean, name: string, suite: Suite): void {
  const ceph = requires('ceph')
  for (const storage of STORAGES) {
    const isMissing = storage === 's3' && !ceph.met
    describe.skipIf(isSkipped || isMissing)(`${name} (${storage})`, () => suite(storage))
  }
}
