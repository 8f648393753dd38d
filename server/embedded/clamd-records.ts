import { lstat, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { namesIn } from '../../system/names-in.ts'
import { parseJson } from '../../system/parse-json.ts'
import { runProgram } from '../../system/programs.ts'
import { removeIfEmpty } from '../../system/remove-if-empty.ts'
import type { Log } from '../process/log.ts'
import { argumentsOf, endProcess, runningWith, startOf } from './processes.ts'

// Each server on a DATA_DIR has a clamd of its own, in a folder of its own, and a record beside that:
// DATA_DIR/clamd-ID.json. Servers never share one, so none has to be taken over when a server ends.

const recordSchema = z.object({
  /** The host of the processes below. */
  host: z.string(),
  server: z.object({ pid: z.number(), start: z.string() }),
  folder: z.string().regex(/\/(landfall-)?clamd-[^/]+$/),
  socketPath: z.string(),
})
type ClamdRecord = z.infer<typeof recordSchema>

/** A record takes no time to write. */
const WRITING_MS = 60_000
const RECORD = /^clamd-[0-9a-f]+\.json$/
/** The only folder of the previous release. */
const EARLIER = 'clamd'

export const recordPath = (dataDirectory: string, id: string): string =>
  join(dataDirectory, `clamd-${id}.json`)

export const configFileIn = (folder: string): string => join(folder, 'clamd.conf')

export const clamdArguments = (folder: string): readonly string[] => ['--config-file', configFileIn(folder)]

/** Records the owner of a clamd before it is started. */
export async function writeRecord(
  path: string,
  places: { folder: string; socketPath: string },
): Promise<void> {
  const server = { pid: process.pid, start: (await startOf(process.pid)) ?? '' }
  const record: ClamdRecord = { host: hostname(), server, ...places }
  await writeFile(path, `${JSON.stringify(record)}\n`, { mode: 0o600, flag: 'wx' })
}

/**
 * The socket of a clamd of a server on this machine and `DATA_DIR`; undefined where there is none. For workers beside
 * such a server, and for `doctor`.
 */
export async function findServersClamd(dataDirectory: string): Promise<{ socketPath: string } | undefined> {
  let starting: { socketPath: string } | undefined
  for (const { record } of await readRecords(dataDirectory)) {
    if (record?.host !== hostname() || !(await hasServer(record))) continue
    const { socketPath } = record
    if (await lstat(socketPath).catch(() => undefined)) return { socketPath }
    starting ??= { socketPath }
  }
  return starting
}

/** Ends every clamd that a killed server on this machine and `DATA_DIR` left running, and removes its files. */
export async function stopLeftoverClamds(dataDirectory: string, log: Log): Promise<void> {
  for (const { path, record } of await readRecords(dataDirectory)) {
    if (record && (record.host !== hostname() || (await hasServer(record)))) continue
    if (record) {
      await endClamd(record.folder, log)
      await removeFolder(record.folder)
    }
    await rm(path, { force: true })
  }
  await endEarlier(join(dataDirectory, EARLIER), log)
}

/** The clamd of an earlier release, unless its server still runs, as in a rolling upgrade. */
async function endEarlier(folder: string, log: Log): Promise<void> {
  if (!(await lstat(folder).catch(() => undefined))?.isDirectory()) return
  for (const { parent } of await runningWith('clamd', clamdArguments(folder))) {
    if ((await argumentsOf(parent)).some((word) => /(^|\/)main\.ts$/.test(word))) return
  }
  await endClamd(folder, log)
  await removeFolder(folder)
}

async function endClamd(folder: string, log: Log): Promise<void> {
  const running = () => runningWith('clamd', clamdArguments(folder))
  for (const { pid } of await running()) {
    log.info({ pid }, 'stopping the clamd that a killed server left running')
    await endProcess(pid, async () => (await running()).some((line) => line.pid === pid))
  }
}

/** Removes a folder with all that is in it. */
export async function removeFolder(folder: string): Promise<void> {
  await emptyFolder(folder)
  await removeIfEmpty(folder)
}

/**
 * Empties a folder, where it exists, as its user: that user may have put anything into it, and root would follow links.
 */
export async function emptyFolder(folder: string): Promise<void> {
  const found = await lstat(folder).catch(() => undefined)
  if (!found?.isDirectory()) return
  const owner = process.getuid?.() === 0 ? { uid: found.uid, gid: found.gid } : {}
  await runProgram('sh', ['-c', 'cd -- "$0" && rm -rf -- * .[!.]*', folder], { ...owner, reject: false })
}

const hasServer = async ({ server }: ClamdRecord): Promise<boolean> =>
  ((await startOf(server.pid)) ?? '') === server.start

/** Without a record: the file of a server that was killed while writing it, before it started a clamd. */
async function readRecords(dataDirectory: string): Promise<{ path: string; record?: ClamdRecord }[]> {
  const records = await Promise.all(
    (await namesIn(dataDirectory))
      .filter((name) => RECORD.test(name))
      .map(async (name) => {
        const path = join(dataDirectory, name)
        const text = await readFile(path, 'utf8').catch(() => undefined)
        const parsed = recordSchema.safeParse(parseJson(text ?? ''))
        if (parsed.success) return [{ path, record: parsed.data }]
        const writtenAt = (await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now()
        return Date.now() - writtenAt > WRITING_MS ? [{ path }] : []
      }),
  )
  return records.flat()
}
