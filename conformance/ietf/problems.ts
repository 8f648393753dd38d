import { expectStatus, expectThat } from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, createComplete, createFilled, creation, expectComplete, SIZE } from './client.ts'
import { problemIfUsed, problemOf } from './problem.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

async function mismatch(peer: Peer) {
  const upload = await createFilled(peer, 1000)
  return await append(peer, upload, { from: 2500, to: 3000 })
}

const inconsistency = (peer: Peer) =>
  creation(peer, { isComplete: true, length: SIZE + 1, body: mediaBytes(SIZE) })

export const problemRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-problem-offset',
    asks: { 6: V6.problemOffset, 8: V8.problemOffset },
    requirement: 'An append at another offset is answered with the registered problem type.',
    check: async (peer) => void problemOf(await mismatch(peer), 'mismatching-upload-offset'),
  },
  {
    id: 'ietf-problem-offset-members',
    asks: { 6: V6.problemMembers, 8: V8.problemMembers },
    requirement: 'That problem has the members expected-offset and provided-offset.',
    async check(peer) {
      const problem = problemIfUsed(await mismatch(peer), 'mismatching-upload-offset')
      const { 'expected-offset': expected, 'provided-offset': provided } = problem
      expectThat(expected === 1000, `expected-offset is ${expected}, not 1000`)
      expectThat(provided === 2500, `provided-offset is ${provided}, not 2500`)
    },
  },
  {
    id: 'ietf-problem-length',
    asks: { 8: V8.problemLength },
    requirement: 'Inconsistent lengths are answered with the registered problem type.',
    after: ['ietf-length-inconsistent'],
    check: async (peer) => void problemOf(await inconsistency(peer), 'inconsistent-upload-length'),
  },
  {
    id: 'ietf-problem-length-status',
    asks: { 8: V8.problemLengthStatus },
    requirement: 'That problem has the recommended status 400, and does not come from processing the file.',
    async check(peer) {
      const answer = await inconsistency(peer)
      problemIfUsed(answer, 'inconsistent-upload-length')
      expectStatus(answer, 400)
      if (answer.headers.get('Upload-Complete') !== undefined) expectComplete(answer, false)
    },
  },
  {
    id: 'ietf-problem-completed',
    asks: { 6: V6.problemCompleted },
    requirement: 'An append to a complete upload is answered with the registered problem type.',
    after: ['ietf-append-to-complete'],
    async check(peer) {
      const upload = await createComplete(peer)
      problemOf(await append(peer, upload, { from: SIZE, isComplete: true }), 'completed-upload')
    },
  },
])
