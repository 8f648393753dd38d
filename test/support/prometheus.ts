/** What `/metrics` says, read as strictly as its format is written (Prometheus text format 0.0.4). */
export type Figures = {
  /** Names of all families, in order. */
  families: string[]
  /** Each with its labels in the order in which they came: `name{a="b"}`. */
  samples: Map<string, number>
}

type Family = { name: string; type: string }

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"'
const SAMPLE = new RegExp(`^(${NAME})(\\{${LABEL}(?:,${LABEL})*\\})? (\\S+)$`)

/** Fails at the first line that has no place where it is, and at whatever is there twice. */
export function parseFigures(text: string): Figures {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const figures: Figures = { families: [], samples: new Map() }
  let helped: string | undefined
  let family: Family | undefined
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (keyword === 'HELP') {
      helped = name
      family = undefined
    } else if (keyword === 'TYPE') {
      if (helped !== name) throw new Error(`no HELP just before: ${line}`)
      if (!/^(counter|gauge|histogram)$/.test(rest)) throw new Error(`no such type: ${line}`)
      if (figures.families.includes(name)) throw new Error(`a second time: ${line}`)
      figures.families.push(name)
      family = { name, type: rest }
    } else {
      addSample(figures, family, line)
    }
  }
  checkHistograms(figures)
  return figures
}

function addSample({ samples }: Figures, family: Family | undefined, line: string): void {
  const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? []
  if (name === '') throw new Error(`not a line of this format: ${line}`)
  const suffixes = family?.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
  if (!family || !suffixes.some((suffix) => name === family.name + suffix))
    throw new Error(`of no family that was opened: ${line}`)
  if (family.type === 'counter' && !name.endsWith('_total')) throw new Error(`no name of a counter: ${line}`)
  if (samples.has(name + labels)) throw new Error(`a second time: ${line}`)
  const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value)
  if (Number.isNaN(number)) throw new Error(`not a number: ${line}`)
  samples.set(name + labels, number)
}

/** The buckets of a histogram never fall, and the last one has all. */
function checkHistograms({ samples }: Figures): void {
  const counts = new Map<string, number>()
  for (const [series, value] of samples) {
    const [, name, bound, labels = ''] = /^(\w+)_bucket\{le="([^"]+)",?(.*)\}$/.exec(series) ?? []
    if (name === undefined) continue
    const of = labels === '' ? name : `${name}{${labels}}`
    if (value < (counts.get(of) ?? 0)) throw new Error(`fewer than in the bucket before: ${series}`)
    counts.set(of, value)
    const count = of.replace(name, `${name}_count`)
    if (bound === '+Inf' && samples.get(count) !== value) throw new Error(`not what ${count} says: ${series}`)
  }
}
