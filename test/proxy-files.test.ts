import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

// What test/behind-proxies.test.ts cannot tell by running a proxy. Debian has no Traefik, so of its files only the names of
// options are checked here, against those of its reference of version 3.

const ROOT = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const filesOf = (proxy: string) =>
  readdirSync(join(ROOT, 'deploy', proxy)).map((name) => `deploy/${proxy}/${name}`)

const PROXIES = ['nginx', 'haproxy', 'caddy', 'traefik']

describe('the files for proxies', () => {
  const all = PROXIES.flatMap(filesOf)

  it('are all named in the documentation', () => {
    const named = [...read('docs/deployment.md').matchAll(/\(\.\.\/(deploy\/[^)]+)\)/g)].map(
      ([, file]) => file,
    )
    expect(all.length).toBe(9)
    expect(all.filter((file) => !named.includes(file))).toEqual([])
  })

  it.each(all.filter((file) => !file.endsWith('traefik.yml')))(
    '%s passes no address of a client on',
    (file) => {
      const text = read(file)
      for (const header of ['Forwarded', 'X-Forwarded-Prefix'])
        expect(text).toMatch(new RegExp(`[ -]${header}\\b`))
      expect(text).toContain('/metrics')
      expect(text).toContain('/dev/token')
    },
  )
})

/** Option names by their place. `*` is a name that the operator chooses. */
const OPTIONS: Record<string, readonly string[]> = {
  '': ['entryPoints', 'providers', 'http', 'tls'],
  'entryPoints.*': ['address', 'transport'],
  'entryPoints.*.transport': ['respondingTimeouts'],
  'entryPoints.*.transport.respondingTimeouts': ['readTimeout', 'writeTimeout', 'idleTimeout'],
  providers: ['file'],
  'providers.file': ['filename'],
  http: ['routers', 'middlewares', 'services'],
  'http.routers.*': ['entryPoints', 'rule', 'middlewares', 'service', 'tls'],
  'http.middlewares.*': ['headers', 'retry', 'stripPrefix'],
  'http.middlewares.*.headers': ['customRequestHeaders'],
  'http.middlewares.*.retry': ['attempts', 'initialInterval'],
  'http.middlewares.*.stripPrefix': ['prefixes'],
  'http.services.*': ['loadBalancer'],
  'http.services.*.loadBalancer': ['passHostHeader', 'servers'],
  'http.services.*.loadBalancer.servers': ['url'],
  tls: ['certificates'],
  'tls.certificates': ['certFile', 'keyFile'],
}
/** Where names are the operator's. */
const CHOSEN = [
  'entryPoints',
  'http.routers',
  'http.middlewares',
  'http.services',
  'http.middlewares.*.headers.customRequestHeaders',
]

type Line = { place: string; key: string | undefined; value: string }

/** The lines of a YAML file of the plain kind that these are: mappings, lists of one level, comments. Fails on any other. */
function linesOf(yaml: string): Line[] {
  const path: { indent: number; key: string }[] = []
  const lines: Line[] = []
  for (const line of yaml.split('\n')) {
    if (/^ *(#.*)?$/.test(line)) continue
    const match = /^((?: {2})*)(- )?(?:([\w-]+):(?: |$))?("[^"]*"|[\w/.:-]*|\{\})$/.exec(line)
    if (!match) throw new Error(`not understood: ${line}`)
    const [, spaces = '', dash = '', key, value = ''] = match
    const indent = spaces.length + dash.length
    while ((path.at(-1)?.indent ?? -1) >= indent) path.pop()
    const names: string[] = []
    for (const step of path) names.push(CHOSEN.includes(names.join('.')) ? '*' : step.key)
    lines.push({ place: names.join('.'), key, value })
    if (key !== undefined && value === '') path.push({ indent, key })
  }
  return lines
}

describe('the files for Traefik', () => {
  it.each(filesOf('traefik'))('%s has options that exist', (file) => {
    const lines = linesOf(read(file))
    expect(lines.length).toBeGreaterThan(5)
    const unknown = lines.filter(
      ({ place, key }) => key !== undefined && !CHOSEN.includes(place) && !OPTIONS[place]?.includes(key),
    )
    expect(unknown).toEqual([])
  })

  it.each(filesOf('traefik').filter((file) => !file.endsWith('traefik.yml')))(
    '%s uses no middleware, service or entry point that is not there',
    (file) => {
      const lines = [...linesOf(read(file)), ...linesOf(read('deploy/traefik/traefik.yml'))]
      const namesAt = (wanted: string) => lines.filter(({ place }) => place === wanted)
      const keysAt = (wanted: string) => namesAt(wanted).map(({ key }) => key)
      const valuesAt = (wanted: string) => namesAt(wanted).map(({ value }) => value)
      const service = namesAt('http.routers.*').find(({ key }) => key === 'service')?.value
      expect(keysAt('http.services')).toEqual([service])
      expect(keysAt('entryPoints')).toEqual(valuesAt('http.routers.*.entryPoints'))
      expect(keysAt('http.middlewares').toSorted()).toEqual(valuesAt('http.routers.*.middlewares').toSorted())
    },
  )
})
