import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Results } from '../results.ts'
import { renderChart } from './chart.ts'
import { renderDocument } from './document.ts'

/** Writes the page on benchmarks, its figures and its chart into `directory`. */
export async function writeReport(directory: string, results: Results): Promise<void> {
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'benchmarks.json'), `${JSON.stringify(results, null, 2)}\n`)
  await writeFile(join(directory, 'benchmarks.svg'), renderChart(results.cases))
  await writeFile(join(directory, 'benchmarks.md'), renderDocument(results))
}
