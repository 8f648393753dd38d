/**
 * Writes the tables of routes in docs/api.md, each between its markers, from the routes as the server has them.
 *
 *     node scripts/api-docs.ts
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TABLES } from '../server/api/table.ts'
import type { Access, Route } from '../server/routes/route.ts'

export const API_DOCS = join(import.meta.dirname, '..', 'docs', 'api.md')

const ACCESS: Record<Access, string> = {
  public: 'public',
  'dev-code': 'development code',
  token: 'token',
  'token-or-upload-ticket': 'token or upload ticket',
  service: 'token with the scope `service`',
  'token-or-ticket': 'token or ticket',
  'token-or-link': 'token or link',
  link: 'link',
  'service-or-signature': 'token with the scope `service`, or signature',
}

/** The text of docs/api.md with its tables written anew. Fails where a table has no place in it. */
export function apiDocs(text: string): string {
  return Object.entries(TABLES).reduce((written, [name, routes]) => {
    const [begin, end] = [`<!-- routes: ${name} -->\n`, '<!-- end of routes -->']
    const [before, rest, ...more] = written.split(begin)
    const at = rest?.indexOf(end) ?? -1
    if (rest === undefined || at < 0 || more.length > 0)
      throw new Error(`docs/api.md needs one place for the routes "${name}"`)
    return `${before}${begin}${table(routes)}${rest.slice(at)}`
  }, text)
}

function table(routes: readonly Route<never>[]): string {
  const rows = routes.map(tableRow)
  return ['| request | access | answer |', '|---|---|---|', ...rows, ''].join('\n')
}

function tableRow({ method, path, query, access, answers, summary, description }: Route<never>): string {
  const names = Object.keys(query?.shape ?? {})
  const request = `${method.toUpperCase()} ${path}${names.length === 0 ? '' : `?${names.join('&')}`}`
  const statuses = Object.keys(answers).join(', ')
  const text =
    description === undefined ? summary : `${summary}${/^[`]/.test(description) ? ': ' : '. '}${description}`
  return `| \`${request}\` | ${ACCESS[access]} | ${statuses}: ${text} |`
}

if (import.meta.main) writeFileSync(API_DOCS, apiDocs(readFileSync(API_DOCS, 'utf8')))
