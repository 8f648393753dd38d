import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Answer } from './webhook-receiver.ts'

/** Answers a hook with JSON, or with this text. */
export const says =
  (answer: unknown, status = 200): Answer =>
  (response) =>
    void response
      .writeHead(status, { 'Content-Type': 'application/json' })
      .end(typeof answer === 'string' ? answer : JSON.stringify(answer))

/** A module of hooks with this source, until the test is over. */
export async function moduleOf(source: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-hooks-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'my-hooks.ts')
  await writeFile(path, source)
  return path
}
