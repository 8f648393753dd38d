import { expectStatus, expectThat } from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, createComplete, createFilled, creation, expectComplete, SIZE } from './client.ts'
import { problemIfUsed, problemOf } from './problem.ts'

async function mismatch(peer: Peer) {
  const upload = await createFilled(peer, 1000)
  return await append(peer, upload, { from: 2500, to: 3000 })
}

const inconsistency = (peer: Peer) =>
  creation(peer, { isComplete: true, length: SIZE + 1, body: mediaBytes(SIZE) })

export const problemRows: readonly Row[] = [
  ...rowsOf({ protocol: 'ietf', section: '7.1 Mismatching Offset' }, [
    {
      id: 'ietf-problem-offset',
      level: 'MAY',
      requirement: 'An append at another offset is answered with the registered problem type.',
      check: async (peer) => void problemOf(await mismatch(peer), 'mismatching-upload-offset'),
    },
    {
      id: 'ietf-problem-offset-members',
      level: 'SHOULD',
      requirement: 'That problem has the members expected-offset and provided-offset.',
      async check(peer) {
        const problem = problemIfUsed(await mismatch(peer), 'mismatching-upload-offset')
        expectThat(
          problem['expected-offset'] === 1000,
          `expected-offset is ${problem['expected-offset']}, not 1000`,
        )
        expectThat(
          problem['provided-offset'] === 2500,
          `provided-offset is ${problem['provided-offset']}, not 2500`,
        )
      },
    },
  ]),
  ...rowsOf({ protocol: 'ietf', section: '7.2 Inconsistent Length', interop: [8] }, [
    {
      id: 'ietf-problem-length',
      level: 'MAY',
      requirement: 'Inconsistent lengths are answered with the registered problem type.',
      check: async (peer) => void problemOf(await inconsistency(peer), 'inconsistent-upload-length'),
    },
    {
      id: 'ietf-problem-length-status',
      level: 'SHOULD',
      requirement: 'That problem has the recommended status 400, and does not come from processing the file.',
      async check(peer) {
        const answer = await inconsistency(peer)
        problemIfUsed(answer, 'inconsistent-upload-length')
        expectStatus(answer, 400)
        if (answer.headers.get('Upload-Complete') !== undefined) expectComplete(answer, false)
      },
    },
  ]),
  ...rowsOf({ protocol: 'ietf', section: 'draft-05 10.2 Completed Upload', interop: [6] }, [
    {
      id: 'ietf-problem-completed',
      level: 'MAY',
      requirement: 'An append to a complete upload is answered with the registered problem type.',
      async check(peer) {
        const upload = await createComplete(peer)
        problemOf(await append(peer, upload, { from: SIZE, isComplete: true }), 'completed-upload')
      },
    },
  ]),
]
