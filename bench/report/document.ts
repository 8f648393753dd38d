import { STORAGES } from '../cases.ts'
import type { CaseResult, Results } from '../results.ts'
import { callsInWords, failuresInWords, headOf, markdownTable, rowsOf } from './table.ts'

/** What a reader must know of the figures, wherever they are printed. */
export const CAVEATS: readonly string[] = [
  'Only serving is measured: Landfall runs with `WORKER=off` and `SCAN=off`, so nothing is identified, scanned or processed here. The stock server has no such work to leave out.',
  'On disk Landfall forces bytes to the disk before it acknowledges them (`DISK_SYNC=always`, its default) and keeps its ledger in a PostgreSQL with default durability. `FileStore` leaves both to the kernel: a power cut can take what it has acknowledged.',
  'On S3 Landfall answers the last request when the bucket has all parts; its worker then completes the upload. The calls by which it does are counted here, its time is not. `S3Store` completes within the last request.',
  'Landfall checks a token with every request. The stock server runs with default options and knows no users.',
  'CPU is that of the server process alone. PostgreSQL, which only Landfall needs, has a column of its own, in the same unit; the S3 gateway and the client are counted for nobody.',
]

const METHOD: readonly string[] = [
  'Server, client, database and gateway share this one machine and talk over loopback. Times are therefore worth little in themselves: compare the two rows of a table, not tables of different runs.',
  'Both servers are processes of their own, started for each case. Rounds alternate between them, beginning in turn with the one and the other; the first round does not count (for the cases of one round it is a small one). Figures are medians of the rounds, ratios medians of the ratios of each round.',
  'Before each run the files of the last are removed and the kernel is told to write out what is left.',
  'The client is one for both: `node:http` with kept connections, in a process of its own, sending random bytes. A paced request is timed from its last byte to its answer, any other from its beginning.',
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

Landfall beside its peer in the same run: the stock \`@tus/server\`, with the stock \`FileStore\` on disk and the stock
\`S3Store\` on S3. Repeat it with \`npm run bench\`; \`npm run bench -- --help\` tells the options. All figures are in
[benchmarks.json](benchmarks.json).

![Landfall divided by the stock tus server](benchmarks.svg)

## What to know

${bullets(CAVEATS)}

${STORAGES.map((storage) => sectionOf(storage === 's3' ? 'S3' : 'Disk', casesOn(results, storage))).join('')}## Method

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

function caseSection(result: CaseResult): string {
  const [stock, landfall] = [callsInWords(result.subjects.stock), callsInWords(result.subjects.landfall)]
  const calls = landfall
    ? `\nS3 calls a ${result.operation}: ${stock ? `stock ${stock}; ` : ''}Landfall ${landfall}.\n`
    : ''
  const failures = failuresInWords(result)
    .map((line) => `\n${line}.\n`)
    .join('')
  return `### ${result.title}\n\n${markdownTable(headOf(result), rowsOf(result))}${calls}${failures}`
}

const bullets = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n')
