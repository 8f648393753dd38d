import { afterAll, beforeAll, expect, it } from 'vitest'
import { findTarget, type Target } from '../conformance/kit/peer.ts'
import type { Interop } from '../conformance/kit/protocols.ts'
import type { Row } from '../conformance/kit/row.ts'
import { rowsFor } from '../conformance/rows.ts'
import { runRow } from '../conformance/run.ts'
import { type Landfall, type StorageKind, startLandfall } from './support/landfall.ts'
import { describeStorages } from './support/storages.ts'

// Landfall is held to every row, whatever its level.

const tusRows = rowsFor(8).filter(({ protocol }) => protocol === 'tus')
const ietfRows = (interop: Interop) => rowsFor(interop).filter(({ protocol }) => protocol === 'ietf')

/** What only a server whose uploads expire within seconds can show; the rest runs without that haste. */
const WAITING = ['tus-expires-after']

/** What Landfall has nothing to show for, and why. */
const NOT_TOLD: Readonly<Record<string, string>> = {
  'tus-checksum-sha512-right': 'it has no sha512 checksums',
  'tus-checksum-sha512-wrong': 'it has no sha512 checksums',
  'tus-final-order':
    'it gives no bytes to GET on an upload; their order is looked at in storage by other tests',
  'ietf-limit-min-append-end': 'it has no least size of an append',
  'ietf-coding-offset': 'a file that is coded is none of the allowed types',
}

/** What Landfall does otherwise, and why. */
const OTHERWISE: Readonly<Record<string, string>> = {
  'ietf-repr-digest-wrong-appended': 'a file in several requests is compared while it is processed',
}

async function started(storage: StorageKind, env: Record<string, string> = {}): Promise<Landfall> {
  return await startLandfall({
    storage,
    withoutWorker: true,
    env: { UPLOAD_MIN_SIZE: '0', UPLOAD_MAX_OPEN: '1000', ...env },
  })
}

const targetOf = (landfall: Landfall, interop: Interop): Promise<Target> =>
  findTarget({ endpoint: new URL('/files', landfall.url), token: landfall.token('alice'), interop })

/** One test a row, on a server that is started once for all of them. */
function conforms(
  name: string,
  chosen: readonly Row[],
  options: { interop: Interop; env?: Record<string, string> },
) {
  describeStorages(name, (storage) => {
    let landfall: Landfall
    let target: Target

    beforeAll(async () => {
      landfall = await started(storage, options.env)
      target = await targetOf(landfall, options.interop)
    })
    afterAll(() => landfall?.close())

    const shown = chosen.filter(({ id }) => !(id in NOT_TOLD) && !(id in OTHERWISE))
    it.concurrent.each(shown)('$id', async (row) => {
      expect(await runRow(row, target)).toEqual({ outcome: 'passed' })
    })

    const others = chosen.filter(({ id }) => id in NOT_TOLD || id in OTHERWISE)
    if (others.length === 0) return
    it('what is known to be skipped is, and what is known to fail fails', async () => {
      for (const row of others) {
        const { outcome } = await runRow(row, target)
        expect([row.id, outcome]).toEqual([row.id, row.id in OTHERWISE ? 'failed' : 'skipped'])
      }
    })
  })
}

conforms(
  'tus 1.0',
  tusRows.filter(({ id }) => !WAITING.includes(id)),
  { interop: 8 },
)
conforms(
  'tus 1.0 after a while',
  tusRows.filter(({ id }) => WAITING.includes(id)),
  {
    interop: 8,
    env: { UPLOAD_EXPIRES_AFTER: '2s' },
  },
)
conforms('the IETF draft, interop version 8', ietfRows(8), { interop: 8 })
conforms('the IETF draft, interop version 6', ietfRows(6), { interop: 6 })

it('explains away no row that is not there', () => {
  const ids = [...rowsFor(6), ...rowsFor(8)].map(({ id }) => id)
  const explained = [...Object.keys(NOT_TOLD), ...Object.keys(OTHERWISE), ...WAITING]
  expect(explained.filter((id) => !ids.includes(id))).toEqual([])
})
