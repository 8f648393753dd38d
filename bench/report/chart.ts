import type { CaseResult } from '../results.ts'

type Bar = { label: string; ratio: number; isMoreBetter: boolean }

const WIDTH = 780
const LABELS_END = 190
const ROW = 20
const BAR = 13
const SIDE_MARGIN = 52
const AXIS = (LABELS_END + WIDTH) / 2
const HALF = (WIDTH - LABELS_END) / 2 - SIDE_MARGIN

/**
 * Landfall over the stock tus server as an SVG of bars on a logarithmic scale: to the right Landfall is better, to the
 * left the other. Its colours follow the reader's preference for light or dark.
 */
export function renderChart(cases: readonly CaseResult[]): string {
  const compared = cases.filter(({ ratios }) => ratios.stock !== undefined)
  const reach = Math.max(1, ...compared.flatMap(barsOf).map((bar) => Math.abs(advantage(bar))))
  let y = 54
  const groups = compared.map((result) => {
    const heading = `<text class="case" x="0" y="${y + 14}">${escaped(headingOf(result))}</text>`
    const bars = barsOf(result).map((bar, index) => renderBar(bar, y + 22 + index * ROW, reach))
    y += 22 + bars.length * ROW + 14
    return [heading, ...bars].join('\n')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img" aria-label="Landfall divided by the stock tus server, case by case">
<style>
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.case { font-weight: 600; }
.side, .label { fill: #57606a; }
.better { fill: #1a7f5a; }
.worse { fill: #bc5a1c; }
line { stroke: #8c959f; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.side, .label { fill: #9da7b3; }
.better { fill: #3fb98a; }
.worse { fill: #e08a4f; }
}
</style>
<text class="case" x="0" y="16">Landfall ÷ stock tus server, measured side by side</text>
<text class="side" x="${AXIS - 10}" y="38" text-anchor="end">← stock is better</text>
<text class="side" x="${AXIS + 10}" y="38">Landfall is better →</text>
<line x1="${AXIS}" y1="44" x2="${AXIS}" y2="${y - 8}"/>
${groups.join('\n')}
</svg>
`
}

function renderBar(bar: Bar, y: number, reach: number): string {
  const better = advantage(bar)
  const length = Math.max(1, (Math.abs(better) / reach) * HALF)
  const isBetter = better >= 0
  const x = isBetter ? AXIS : AXIS - length
  const valueX = isBetter ? AXIS + length + 6 : AXIS - length - 6
  const middle = y + BAR - 2
  return [
    `<text class="label" x="${LABELS_END - 10}" y="${middle}" text-anchor="end">${escaped(bar.label)}</text>`,
    `<rect class="${isBetter ? 'better' : 'worse'}" x="${x.toFixed(1)}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" rx="2"/>`,
    `<text x="${valueX.toFixed(1)}" y="${middle}" text-anchor="${isBetter ? 'start' : 'end'}">${bar.ratio.toFixed(2)}×</text>`,
  ].join('\n')
}

/** How many times Landfall is better, as a power of two; negative where it is worse. */
const advantage = ({ ratio, isMoreBetter }: Bar): number => Math.log2(ratio) * (isMoreBetter ? 1 : -1)

function barsOf({ ratios, per, operation, subjects }: CaseResult): Bar[] {
  const ours = subjects.landfall?.calls?.perOperation
  const peers = subjects.stock?.calls?.perOperation
  const bars = [
    { label: per === 'bytes' ? 'MB/s' : 'files/s', ratio: ratios.stock?.rate, isMoreBetter: true },
    { label: per === 'bytes' ? 'CPU a GB' : 'CPU a file', ratio: ratios.stock?.cpu, isMoreBetter: false },
    { label: 'peak memory', ratio: ratios.stock?.peakRss, isMoreBetter: false },
    { label: `S3 calls a ${operation}`, ratio: ours && peers && ours / peers, isMoreBetter: false },
  ]
  return bars.flatMap(({ ratio, ...bar }) => (ratio ? [{ ...bar, ratio }] : []))
}

const headingOf = ({ title, storage }: CaseResult): string => `${title}, ${storage === 's3' ? 'S3' : 'disk'}`

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
