import { STORAGES } from '../cases.ts'
import { measuredGoals } from '../goals.ts'
import type { CaseResult, Results } from '../results.ts'
import { callsInWords, failuresInWords, headOf, markdownTable, rowsOf } from './table.ts'

/** What a reader must know of the figures, wherever they are printed. */
export const CAVEATS: readonly string[] = [
  'Only serving is measured: Landfall runs with `WORKER=off` and `SCAN=off`, so nothing is identified, scanned or processed here. The others have no such work to leave out.',
  'On disk Landfall forces bytes to the disk before it acknowledges them (`DISK_SYNC=always`, its default) and keeps its ledger in a PostgreSQL with default durability. raw forces bytes as well, but keeps nothing else. `FileStore` and tusd leave bytes to the kernel: a power cut can take what they have acknowledged.',
  'On S3 Landfall answers the last request when the bucket has all parts; its worker then completes the upload. The calls by which it does are counted here, its time is not. `S3Store` and tusd complete within the last request.',
  'Landfall checks a token with every request. The others know no users; stock and tusd run with default options.',
  'CPU is that of the server process alone. PostgreSQL, which only Landfall needs, has a column of its own, in the same unit; the S3 gateway and the client are counted for nobody.',
]

const METHOD: readonly string[] = [
  'Server, client, database and gateway share this one machine and talk over loopback. Times are therefore worth little in themselves: compare the rows of a table, not tables of different runs.',
  'The servers are processes of their own, started for each case. Rounds take them in turn, every second one in the opposite order; the first round does not count (for the cases of one round it is a small one). Figures are medians of the rounds, ratios medians of the ratios of each round.',
  'Before each run the files of the last are removed and the kernel is told to write out what is left.',
  'The client is one for all: `node:http` with kept connections, in a process of its own, sending random bytes. A paced request is timed from its last byte to its answer, any other from its beginning.',
  'CPU is user and system time from `/proc/PID/stat`; peak memory is `VmHWM`, set back before each run.',
  'S3 is Ceph’s RADOS gateway, which keeps everything in memory and is started anew before each run. S3 calls are counted by a proxy in a small pass of their own; while times are taken, nothing stands in between.',
]

/** The page on benchmarks, whole. */
export function renderDocument(results: Results): string {
  const { machine } = results
  const gigabytes = (machine.memoryBytes / 1e9).toFixed(0)
  const versions = Object.entries(results.versions).map(([name, version]) => `${name} ${version}`)
  return `# Benchmarks

<!-- Written by \`npm run bench\`. -->

Landfall beside others in the same run: **stock**, which is \`@tus/server\` with its own \`FileStore\` on disk and its own
\`S3Store\` on S3; **tusd**, the server in Go; and **raw**, a bare \`node:http\` server of ours that stores on disk and checks
nothing, the least that a server in Node can do. Repeat it with \`npm run bench\`; \`npm run bench -- --help\` tells the options. All figures are in
[benchmarks.json](benchmarks.json).

![Landfall divided by the stock tus server](benchmarks.svg)

## What to know

${bullets(CAVEATS)}

${STORAGES.map((storage) => sectionOf(storage === 's3' ? 'S3' : 'Disk', casesOn(results, storage))).join('')}${goalsSection(results)}## Method

${bullets(METHOD)}

## Machine

${bullets([
  `${machine.cpu}, ${machine.cores} cores, ${gigabytes} GB of memory, ${machine.system}, files on ${machine.filesystem}`,
  `Node.js ${machine.node}; ${versions.join(', ')}`,
  results.date.slice(0, 10),
])}
${results.skipped.length > 0 ? `\n## Left out\n\n${bullets(results.skipped)}\n` : ''}`
}

const casesOn = ({ cases }: Results, storage: string): CaseResult[] =>
  cases.filter((result) => result.storage === storage)

function sectionOf(name: string, cases: readonly CaseResult[]): string {
  if (cases.length === 0) return ''
  return `## ${name}\n\n${cases.map(caseSection).join('\n')}\n`
}

function goalsSection({ cases }: Results): string {
  const goals = measuredGoals(cases)
  if (goals.length === 0) return ''
  const rows = goals.map(({ goal, ratio, isMet }) => [goal, ratio.toFixed(2), isMet ? 'met' : 'missed'])
  return `## Goals\n\n${markdownTable(['Goal', 'Ratio', ''], rows)}\n`
}

function caseSection(result: CaseResult): string {
  const counts = callsInWords(result)
  const calls = counts.length > 0 ? `\nS3 calls a ${result.operation}: ${counts.join('; ')}.\n` : ''
  const failures = failuresInWords(result)
    .map((line) => `\n${line}.\n`)
    .join('')
  return `### ${result.title}\n\n${markdownTable(headOf(result), rowsOf(result))}${calls}${failures}`
}

const bullets = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n')
