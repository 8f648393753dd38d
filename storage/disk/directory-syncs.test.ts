import { expect, it } from 'vitest'
import { DirectorySyncs } from './directory-syncs.ts'

/** Calls that end when the test says so. */
function calls() {
  const begun: { directory: string; end: (error?: Error) => void }[] = []
  const sync = (directory: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    begun.push({ directory, end: (error) => (error ? reject(error) : resolve()) })
    return promise
  }
  return { begun, syncs: new DirectorySyncs(sync) }
}
const settled = () => new Promise(setImmediate)

it('counts a call for those only who were there when it began', async () => {
  const { begun, syncs } = calls()
  const done: string[] = []
  const file = (name: string, directory = 'a') => syncs.sync(directory).then(() => done.push(name))
  const all = [file('1'), file('2'), file('3'), file('of another', 'b')]
  expect(begun.map(({ directory }) => directory)).toEqual(['a', 'b'])
  begun[0]?.end()
  await settled()
  expect(done).toEqual(['1'])
  expect(begun).toHaveLength(3)
  all.push(file('4'))
  begun[2]?.end()
  await settled()
  expect(done).toEqual(['1', '2', '3'])
  for (const { end } of begun) end()
  await settled()
  begun.at(-1)?.end()
  await Promise.all(all)
  expect(begun).toHaveLength(4)
})

it('fails for those whose call failed, and for nobody else', async () => {
  const { begun, syncs } = calls()
  const [first, second] = [syncs.sync('a'), syncs.sync('a')]
  begun[0]?.end(new Error('the disk is away'))
  await expect(first).rejects.toThrow('the disk is away')
  await settled()
  begun[1]?.end()
  await second
  const third = syncs.sync('a')
  begun[2]?.end()
  await third
})
