/**
 * Writes docs/configuration.md from the schema of the configuration, which is where a variable is described.
 *
 *     node scripts/configuration-docs.ts
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { z } from 'zod'
import { variables } from '../server/config.ts'

export const CONFIGURATION_DOCS = join(import.meta.dirname, '..', 'docs', 'configuration.md')

/** Headings in order, each with the variables below it. A variable belongs to the first that fits. */
const GROUPS: readonly (readonly [heading: string, names: RegExp])[] = [
  [
    'Server',
    /^(NODE_ENV|PORT|HOST|PUBLIC_URL|LOCATION|INTERIM_RESPONSES|TRUST_PROXY|DRAIN_DELAY|CORS_ORIGINS|LOG_\w+|MIGRATE|METRICS|METRICS_\w+|MAX_CONNECTIONS|RATE_\w+)$/,
  ],
  ['Authentication', /^AUTH_/],
  ['Database and storage', /^(DATA_DIR|DATABASE_\w+|STORAGE|DISK_\w+|S3_\w+|AWS_\w+)$/],
  ['Publishing', /^(PUBLISH|PUBLIC_PREFIX|PUBLIC_MEDIA|CDN_URL|DOWNLOADS|LINK_\w+)$/],
  ['Uploads', /^(UPLOAD|SIMPLE)_/],
  ['Quotas', /^(QUOTA_|STREAMS_)/],
  ['Media', /^(MEDIA|IMAGE)_M/],
  ['Retention', /_RETENTION$/],
  [
    'Processing',
    /^(SCAN|DEDUP|SCAN_\w+|DEEP_\w+|CLAMD_\w+|FFMPEG_\w+|FFPROBE_\w+|TOOL_\w+|THUMBNAIL_\w+|HLS|HLS_\w+|WORKER|WORKER_\w+)$/,
  ],
  ['Analysis by an external engine', /^ANALYSIS/],
  ['Webhooks', /^WEBHOOK_/],
  ['Your own hooks', /^HOOKS?(_|$)/],
]

const INTRODUCTION = `# Configuration

Environment variables set everything. The start fails on invalid values, with one line for each: the variable, the value and
what is accepted. Secrets are not repeated in it. An empty variable counts as absent, and an unknown one is ignored. \`npm run landfall -- doctor\` checks a configuration without serving.

This file is generated from \`server/config.ts\` by \`node scripts/configuration-docs.ts\`.
`

/** One variable as its documentation shows it. */
type Variable = { name: string; fallback: string | undefined; accepts: string; description: string }

/** The text of docs/configuration.md. Fails when a variable is undescribed or belongs to no group. */
export function configurationDocs(): string {
  const all = Object.entries(variables.shape).map(([name, schema]) => describeVariable(name, schema))
  const sections = GROUPS.flatMap(([heading, names]) => {
    const rows = all.filter(({ name }) => names.test(name)).map(tableRow)
    return rows.length === 0 ? [] : [section(heading, rows)]
  })
  const homeless = all.filter(({ name }) => !GROUPS.some(([, names]) => names.test(name)))
  if (homeless.length > 0) {
    throw new Error(
      `scripts/configuration-docs.ts has no group for ${homeless.map(({ name }) => name).join(', ')}`,
    )
  }
  return [INTRODUCTION, ...sections].join('\n')
}

function section(heading: string, rows: readonly string[]): string {
  return [`## ${heading}`, '', '| variable | default | accepts | |', '|---|---|---|---|', ...rows, ''].join(
    '\n',
  )
}

function tableRow({ name, fallback, accepts, description }: Variable): string {
  const cells = [`\`${name}\``, fallback === undefined ? '' : `\`${fallback}\``, accepts, description]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function describeVariable(name: string, schema: z.core.$ZodType): Variable {
  let fallback: string | undefined
  let accepts: string | undefined
  let description: string | undefined
  for (const layer of layersOf(schema)) {
    const meta = 'meta' in layer && typeof layer.meta === 'function' ? layer.meta() : undefined
    if (typeof meta?.description === 'string') description ??= meta.description
    if (typeof meta?.accepts === 'string') accepts ??= meta.accepts
    const { def } = layer._zod
    if ('defaultValue' in def) fallback ??= String(def.defaultValue)
  }
  if (description === undefined || accepts === undefined) {
    throw new Error(`${name} does not say what it ${description === undefined ? 'is for' : 'accepts'}`)
  }
  return { name, fallback, accepts, description }
}

/** A schema and what it wraps, outermost first: defaults and descriptions lie around the value itself. */
function* layersOf(schema: z.core.$ZodType): Iterable<z.core.$ZodType> {
  yield schema
  const { def } = schema._zod
  if ('innerType' in def) yield* layersOf(def.innerType as z.core.$ZodType)
  if ('in' in def) yield* layersOf(def.in as z.core.$ZodType)
}

if (import.meta.main) writeFileSync(CONFIGURATION_DOCS, configurationDocs())
