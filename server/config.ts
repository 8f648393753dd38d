import { resolve } from 'node:path'
import { z } from 'zod'
import type { AcceptedTypes } from '../content/accepted-types.ts'
import { maxUploadSizeFor } from '../storage/s3/part-size.ts'
import {
  type Algorithm,
  algorithms,
  baseUrl,
  claim,
  clamd,
  delay,
  duration,
  durationFrom,
  flag,
  heights,
  integer,
  keyPrefix,
  limits,
  linkSigningKeys,
  mediaTypes,
  oneOf,
  origins,
  proxies,
  publicKeys,
  publicUrl,
  scopes,
  seconds,
  secrets,
  size,
  text,
  url,
  webhookSecrets,
  widths,
} from './config-values.ts'

export type { ClamdAddress } from './config-values.ts'

/** Invalid configuration. One line for each error: variable, value, what is accepted. */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** Every variable that Landfall reads, with its default and what it is for. */
export const variables = z.object({
  NODE_ENV: text().optional().describe('`production` forbids development tokens.'),
  PORT: integer(0, 65535).prefault('1080').describe('Port to listen on; 0 picks a free one.'),
  HOST: text('an address or host name').prefault('127.0.0.1').describe('Address to listen on.'),
  PUBLIC_URL: publicUrl()
    .optional()
    .describe(
      'URL under which clients reach the server, if it differs from `HOST` and `PORT`, with the [path](deployment.md#behind-a-proxy) below which a proxy has it.',
    ),
  LOCATION: oneOf('auto', 'relative', 'absolute')
    .prefault('auto')
    .describe(
      'Form of the `Location` of an upload. `auto`: below `PUBLIC_URL`, or what a trusted proxy (`TRUST_PROXY`) forwards, or the `Host` of a request that shows no proxy; otherwise relative. `absolute`: the `Host` also where a request shows a proxy. `relative`: never with a host.',
    ),
  MAX_CONNECTIONS: integer(1, 1_000_000)
    .prefault('4096')
    .describe(
      'Maximum number of open connections; further ones are closed at once. Each may use 64 KiB of memory before it has presented a token.',
    ),
  INTERIM_RESPONSES: oneOf('auto', 'on', 'off')
    .prefault('auto')
    .describe(
      'Whether uploads of the IETF draft are answered with 104 while they run, which tells their clients early how to resume. `auto`: not where a request shows a proxy, because some break on it: see [deployment](deployment.md#behind-a-proxy).',
    ),
  TRUST_PROXY: proxies()
    .prefault('false')
    .describe('Proxies whose `Forwarded` and `X-Forwarded-*` headers are trusted (as in Express).'),
  DRAIN_DELAY: delay()
    .optional()
    .describe(
      'How long a stopping server keeps serving while `/readyz` answers 503, so that load balancers notice. Default: 5s with `NODE_ENV=production`, otherwise 0.',
    ),
  CORS_ORIGINS: origins()
    .prefault('*')
    .describe(
      'Web origins whose pages may use the server. Tokens are sent in a header, so `*` exposes nothing.',
    ),
  DATA_DIR: text('a directory')
    .prefault('./data')
    .describe('Embedded database, objects on disk, generated keys.'),
  DATABASE_URL: url('postgres:', 'postgresql:')
    .optional()
    .describe('PostgreSQL 15 or newer. Without it, the server runs an embedded PostgreSQL below `DATA_DIR`.'),
  DATABASE_POOL: integer(2, 500).prefault('10').describe('Size of the connection pool of one process.'),
  STORAGE: oneOf('disk', 's3')
    .prefault('disk')
    .describe('Where the bytes of new uploads are stored: below `DATA_DIR`, or in a bucket.'),
  DISK_SYNC: oneOf('always', 'finish', 'never')
    .prefault('always')
    .describe(
      'When written bytes are flushed to the disk (`fdatasync`): before each acknowledgement, before the last one, or never.',
    ),
  S3_BUCKET: text('the name of a bucket')
    .optional()
    .describe('Name of the bucket. Required with `STORAGE=s3`, and as long as files are stored in it.'),
  AWS_ACCESS_KEY_ID: text('an access key')
    .optional()
    .describe(
      'Credentials of the bucket. Without them, the default credential chain of the AWS SDK applies.',
    ),
  AWS_SECRET_ACCESS_KEY: text('a secret key').optional().describe('Secret key of `AWS_ACCESS_KEY_ID`.'),
  AWS_SESSION_TOKEN: text('a token').optional().describe('Session token of temporary credentials.'),
  S3_LINK_ACCESS_KEY_ID: text('an access key')
    .optional()
    .describe(
      'Credentials that only sign the links to parts of direct uploads, for buckets where such a link can read (Ceph). They may only put objects.',
    ),
  S3_LINK_SECRET_ACCESS_KEY: text('a secret key')
    .optional()
    .describe('Secret key of `S3_LINK_ACCESS_KEY_ID`.'),
  S3_ENDPOINT: baseUrl().optional().describe('Address of an S3 server that is not AWS.'),
  S3_REGION: text('the name of a region').prefault('us-east-1').describe('Region of the bucket.'),
  S3_FORCE_PATH_STYLE: flag()
    .optional()
    .describe(
      'Whether the bucket is named in the path instead of the host name. Default: true with `S3_ENDPOINT`.',
    ),
  S3_PREFIX: keyPrefix()
    .prefault('')
    .describe('Prefix of the keys. `{owner}`, `{tenant}`, `{yyyy}` and `{mm}` are replaced.'),
  S3_MEMORY_BUDGET: size()
    .prefault('256MiB')
    .describe('Memory in which one process buffers the parts of all its uploads; at least 128MiB.'),
  PUBLISH: oneOf('in-place', 'copy')
    .prefault('in-place')
    .describe(
      '`in-place` keeps ready files private. `copy` also stores a copy without metadata below `PUBLIC_PREFIX`. The original is never published.',
    ),
  PUBLIC_PREFIX: keyPrefix().prefault('public/').describe('Prefix of the keys of public copies.'),
  CDN_URL: baseUrl().optional().describe('Base URL of public copies, without their prefix.'),
  DOWNLOADS: oneOf('stream', 'redirect')
    .prefault('stream')
    .describe('Whether content is sent by the server, or by a redirect to a signed URL of the bucket.'),
  PUBLIC_MEDIA: oneOf('off', 'allowed')
    .prefault('off')
    .describe(
      'Whether media items can be made public: see [the API](api.md#public-media-items). `off` makes those private again that were public.',
    ),
  LINK_SIGNING_KEYS: linkSigningKeys()
    .optional()
    .describe(
      'Keys with which the application’s own backend signs links to media items, without asking: see [the API](api.md#links-that-an-application-signs).',
    ),
  AUTH_JWT_SECRET: secrets()
    .optional()
    .describe(
      'Shared secret of HS256 tokens. Several secrets allow rotation: see [operations](operations.md#changing-keys).',
    ),
  AUTH_JWT_PUBLIC_KEY: publicKeys()
    .optional()
    .describe('Public key of RS256 or ES256 tokens in PEM format. Several keys can be concatenated.'),
  AUTH_JWKS_URL: url('https:', 'http:').optional().describe('URL of the key set (JWKS) of the token issuer.'),
  AUTH_ALGORITHMS: algorithms()
    .optional()
    .describe('Accepted signature algorithms; the default follows from the kind of key.'),
  AUTH_ISSUER: text().optional().describe('Required `iss` of tokens.'),
  AUTH_AUDIENCE: text().optional().describe('Required `aud` of tokens.'),
  AUTH_CLOCK_TOLERANCE: duration()
    .prefault('30s')
    .describe('Tolerated difference to the clock of the issuer.'),
  AUTH_TENANT: oneOf('off', 'optional', 'required')
    .prefault('off')
    .describe(
      'Whether a tenant in tokens is refused, accepted or required. Owners of different tenants are different owners, whatever their names: see [operations](operations.md#tenants).',
    ),
  AUTH_OWNER_CLAIM: claim()
    .prefault('sub')
    .describe(
      'The claim of tokens that names the owner. In another claim than `sub`, the name may also be a whole number.',
    ),
  AUTH_TENANT_CLAIM: claim().prefault('tenant').describe('The claim that names the tenant.'),
  AUTH_SCOPE_CLAIM: claim()
    .prefault('scope')
    .describe(
      'The claim with the scopes: a text in which spaces separate them, or an array. Dots lead into objects, as in `realm_access.roles`.',
    ),
  AUTH_ATTACH_CLAIM: claim()
    .optional()
    .describe(
      'The claim that lists what files may be attached to, such as `course:7 post:*`. Without it a token may attach files to nothing, except one with the scope `service` or `admin`; without this variable, to anything.',
    ),
  AUTH_DEV_TOKENS: flag()
    .prefault('false')
    .describe(
      'Enables `POST /dev/token`, which issues a token to a client that sends the code printed at start. `npm start` sets it on a loopback address, unless another `AUTH_…` variable, `PUBLIC_URL` or `TRUST_PROXY` is set: see [operations](operations.md#development-tokens).',
    ),
  AUTH_DEV_SCOPES: scopes()
    .optional()
    .describe('Scopes that development tokens may have besides those of an owner, such as `admin,service`.'),
  UPLOAD_MAX_SIZE: size().prefault('500MiB').describe('Maximum file size.'),
  SIMPLE_MAX_SIZE: size()
    .prefault('50MB')
    .describe('Maximum size of a file that is sent in one request, to `POST /api/v1/media`.'),
  UPLOAD_MIN_SIZE: size().prefault('1KB').describe('Minimum file size.'),
  UPLOAD_ALLOWED_TYPES: mediaTypes()
    .prefault('video/*,image/*,audio/*')
    .describe(
      'Accepted media types. They apply to the file name, the declared type and the content. Files other than video, image and audio are scanned, hashed and served as attachments. With `*/*` a file may also have the name of a program.',
    ),
  UPLOAD_EXPIRES_AFTER: duration()
    .prefault('24h')
    .describe('How long an unfinished upload is kept after its last received byte.'),
  UPLOAD_MAX_AGE: duration()
    .prefault('7d')
    .describe('How long an unfinished upload is kept after its creation at most.'),
  UPLOAD_IDLE_TIMEOUT: duration()
    .prefault('60s')
    .describe(
      'A client that sends nothing of its body for this long is answered 408, and any other silent connection is closed.',
    ),
  UPLOAD_MAX_OPEN: integer(1, 1_000_000)
    .prefault('5')
    .describe('Maximum number of unfinished uploads of an owner.'),
  STREAMS_PER_OWNER: integer(1, 10_000)
    .prefault('20')
    .describe('Maximum number of concurrent event streams of an owner on one node.'),
  QUOTA_BYTES: size()
    .optional()
    .describe('Maximum number of bytes an owner may store. Unlimited without it.'),
  QUOTA_UPLOADS: integer(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('Maximum number of files an owner may store. Unlimited without it.'),
  MEDIA_MAX_DURATION: duration().prefault('2h').describe('Maximum duration of a video or audio file.'),
  MEDIA_MAX_WIDTH: integer(1, 65535)
    .prefault('4096')
    .describe(
      'Maximum of a video, in pixels. The longer side is held against the larger of the two, so that portrait counts like landscape.',
    ),
  MEDIA_MAX_HEIGHT: integer(1, 65535)
    .prefault('4096')
    .describe('Maximum of a video, in pixels: see `MEDIA_MAX_WIDTH`.'),
  MEDIA_MIN_WIDTH: integer(1, 65535)
    .prefault('320')
    .describe('Minimum of a video, in pixels: see `MEDIA_MAX_WIDTH`.'),
  MEDIA_MIN_HEIGHT: integer(1, 65535)
    .prefault('240')
    .describe('Minimum of a video, in pixels: see `MEDIA_MAX_WIDTH`.'),
  IMAGE_MAX_MEGAPIXELS: integer(1, 1000)
    .prefault('100')
    .describe('Maximum of an image: width times height, in millions of pixels. Images have no minimum.'),
  DEDUP: oneOf('off', 'report', 'reject')
    .prefault('off')
    .describe(
      'What becomes of a file that its owner has already: `report` tells the other media item as `duplicateOf`, `reject` rejects the later one as `duplicate`.',
    ),
  MEDIA_RETENTION: duration()
    .prefault('7d')
    .describe('How long a deleted media item keeps its bytes and counts against the quota.'),
  HISTORY_RETENTION: durationFrom('1h')
    .prefault('30d')
    .describe(
      'How long events, completed webhook deliveries, records of processing steps and uploads that ended without a byte are kept.',
    ),
  RECORD_RETENTION: durationFrom('3d')
    .prefault('1y')
    .describe('How long the metadata of ended uploads and the rows of purged media items are kept.'),
  SCAN: oneOf('required', 'off').prefault('required').describe('Whether files are scanned for viruses.'),
  SCAN_OVERSIZE: oneOf('reject', 'accept')
    .prefault('reject')
    .describe(
      'Whether files above the size limit of clamd (2000 MiB, or as configured) are rejected, or accepted without a scan.',
    ),
  CLAMD_URL: clamd()
    .optional()
    .describe(
      'An external ClamAV daemon. Without it, `serve` runs its own on a socket below `DATA_DIR`, without a port; a worker uses the daemon of the server on the same `DATA_DIR`.',
    ),
  DEEP_CHECK: oneOf('off', 'quick', 'full')
    .prefault('quick')
    .describe(
      'How much is decoded to detect damage. `off`: nothing. `quick`: key frames, or the first minute of audio (0.3 s for one minute of 1080p). `full`: everything (ten times as long).',
    ),
  FFMPEG_PATH: text('a program').prefault('ffmpeg').describe('The ffmpeg to run.'),
  FFPROBE_PATH: text('a program').prefault('ffprobe').describe('The ffprobe to run.'),
  TOOL_SANDBOX: oneOf('auto', 'required', 'off')
    .prefault('auto')
    .describe(
      'Sandbox of ffmpeg: no network and a read-only view (bwrap or unshare). `auto`: if the system supports it. `required`: the worker does not start without it. `off`: never.',
    ),
  THUMBNAIL_AT: seconds()
    .prefault('1')
    .describe(
      'Position of the thumbnail in a video, in seconds; in a shorter video, a tenth of its duration. Where there is nothing to see, it is taken later.',
    ),
  THUMBNAIL_WIDTHS: widths()
    .prefault('640,320')
    .describe('Widths in pixels. The first is the width of the main thumbnail. Pictures are never enlarged.'),
  HLS: oneOf('off', 'on')
    .prefault('off')
    .describe(
      'Whether ready videos are also encoded into renditions for HLS streaming: see [the API](api.md#hls).',
    ),
  HLS_HEIGHTS: heights()
    .prefault('1080,720,480,360')
    .describe(
      'Heights of the renditions: pixels of the shorter side. A video gets those up to its own size, or one in its own size if none fits.',
    ),
  WORKER: oneOf('child', 'off')
    .prefault('child')
    .describe('`child`: `serve` runs a worker as a child process.'),
  WORKER_NICE: integer(0, 19)
    .prefault('10')
    .describe(
      'Nice value of a worker and its tools. 0: normal priority. 19: lowest, which may mean almost no processor time on a busy machine.',
    ),
  WORKER_CONCURRENCY: integer(1, 64)
    .prefault('2')
    .describe('Number of files that one worker processes concurrently.'),
  WORKER_LIMITS: limits()
    .optional()
    .describe(
      'Concurrency limits of one worker by kind of work. `scan` and `decode` (ffmpeg): by default all files in processing. `analysis`: requests to the engine, default 4. `transcoding`: encoding of ready files, default 1.',
    ),
  ANALYSIS: oneOf('off', 'advisory', 'gate')
    .prefault('off')
    .describe(
      'Whether an external engine analyses each file (`advisory`), and whether a file becomes ready only with its approval (`gate`): see [the API](api.md#analysis).',
    ),
  ANALYSIS_URL: url('http:', 'https:')
    .optional()
    .describe('URL of the analysis engine. Workers send requests to it.'),
  ANALYSIS_SECRET: webhookSecrets()
    .optional()
    .describe(
      'Signs requests to the engine and verifies its results. Several secrets are possible, as for webhooks.',
    ),
  ANALYSIS_TIMEOUT: duration()
    .prefault('1h')
    .describe('Time that the engine has for a file before the analysis counts as failed.'),
  WEBHOOK_URL: url('http:', 'https:')
    .optional()
    .describe('Receiver of webhooks: see [the API](api.md#webhooks). Workers send requests to it.'),
  WEBHOOK_SECRET: webhookSecrets()
    .optional()
    .describe('Signs webhooks. Each secret adds a signature, which allows rotation.'),
  WEBHOOK_ALLOW_PRIVATE: flag()
    .prefault('false')
    .describe('Whether `WEBHOOK_URL` may resolve to loopback, private or other non-public addresses.'),
  HOOK_URL: url('http:', 'https:')
    .optional()
    .describe(
      'Your own hooks by HTTP: asked before each upload is created and before each file is published. See [your own hooks](hooks.md).',
    ),
  HOOK_SECRET: webhookSecrets()
    .optional()
    .describe('Signs the questions to `HOOK_URL`. Several secrets are possible, as for webhooks.'),
  HOOKS: text('a module of hooks, such as ./my-hooks.ts')
    .optional()
    .describe('Your own hooks in the process: a module that servers and workers load when they start.'),
  HOOK_TIMEOUT: duration().prefault('5s').describe('Time that a hook has for its answer.'),
  HOOK_UNAVAILABLE: oneOf('refuse', 'allow')
    .prefault('refuse')
    .describe(
      'When a hook fails, is too slow or gives an answer that is not valid. `refuse`: a new upload is answered with 503, and a file waits. `allow`: both are accepted.',
    ),
  METRICS: oneOf('on', 'off')
    .prefault('on')
    .describe(
      'Whether `GET /metrics` serves metrics for Prometheus, without a token: see [operations](operations.md#metrics).',
    ),
  MIGRATE: oneOf('on', 'off')
    .prefault('on')
    .describe(
      'Whether `serve` migrates the database when it starts. `off` leaves that to `landfall migrate`: see [upgrading](upgrading.md).',
    ),
  METRICS_PORT: integer(0, 65535)
    .optional()
    .describe(
      'Separate port on `HOST` that serves `/metrics` only; `/metrics` is then not available on `PORT`. 0 picks a free one.',
    ),
  LOG_LEVEL: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent')
    .prefault('info')
    .describe('Minimum severity of log messages.'),
})

/** A part can have 64 MiB, and at least half of the budget is for parts. */
const MIN_MEMORY_BUDGET = 128 * 1024 * 1024

/** Variables whose values never appear in a log line, an error or the documentation. */
const SECRET = new Set([
  'AUTH_JWT_SECRET',
  'LINK_SIGNING_KEYS',
  'DATABASE_URL',
  'AUTH_JWT_PUBLIC_KEY',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'S3_LINK_ACCESS_KEY_ID',
  'S3_LINK_SECRET_ACCESS_KEY',
  // Many hold a token.
  'WEBHOOK_URL',
  'WEBHOOK_SECRET',
  'ANALYSIS_URL',
  'ANALYSIS_SECRET',
  'HOOK_URL',
  'HOOK_SECRET',
])

const KEY_PAIRS = [
  ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
  ['S3_LINK_ACCESS_KEY_ID', 'S3_LINK_SECRET_ACCESS_KEY'],
] as const

type Variables = z.output<typeof variables>

export type AuthKey =
  /** The first signs. */
  | { kind: 'secret'; secrets: readonly string[] }
  | { kind: 'public-key'; pems: readonly string[] }
  | { kind: 'jwks'; url: string }

export type Config = Readonly<
  Omit<
    Variables,
    'AUTH_JWT_SECRET' | 'AUTH_JWT_PUBLIC_KEY' | 'AUTH_JWKS_URL' | 'AUTH_ALGORITHMS' | 'DRAIN_DELAY'
  > & {
    /** Milliseconds. */
    DRAIN_DELAY: number
    auth: { key: AuthKey; algorithms: readonly Algorithm[] }
    accepted: AcceptedTypes
  }
>

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the configuration from environment variables. Unknown variables are ignored; empty ones count as absent. A
 * process that checks no tokens, such as a worker, needs no key. Fails with `ConfigError`, which lists every malformed
 * value, or else every conflict between values.
 */
export function parseConfig(env: Environment, needs: { auth: boolean }): Config {
  const given = Object.fromEntries(
    Object.keys(variables.shape).flatMap((name) => (env[name] ? [[name, env[name]]] : [])),
  )
  const result = variables.safeParse(given)
  if (!result.success) {
    throw new ConfigError(
      result.error.issues.map((issue) => {
        const name = String(issue.path[0])
        return `${name}: ${shown(name, env[name])} is not accepted; it takes ${issue.message}`
      }),
    )
  }
  const { AUTH_JWT_SECRET, AUTH_JWT_PUBLIC_KEY, AUTH_JWKS_URL, AUTH_ALGORITHMS, ...values } = result.data
  const problems: string[] = []
  const config = {
    ...values,
    DATA_DIR: resolve(values.DATA_DIR),
    DRAIN_DELAY: values.DRAIN_DELAY ?? (values.NODE_ENV === 'production' ? 5_000 : 0),
    auth: readAuth(result.data, needs.auth, problems),
    accepted: values.UPLOAD_ALLOWED_TYPES,
  }
  for (const [id, secret] of KEY_PAIRS) {
    if ((values[id] === undefined) !== (values[secret] === undefined))
      problems.push(`${id}, ${secret}: one is set; both or none are needed`)
  }
  if (values.STORAGE === 's3' && values.S3_BUCKET === undefined) {
    problems.push('S3_BUCKET: "" is not accepted; with STORAGE=s3 it takes the name of a bucket')
  }
  if (values.S3_MEMORY_BUDGET < MIN_MEMORY_BUDGET) {
    problems.push(`S3_MEMORY_BUDGET: "${values.S3_MEMORY_BUDGET}" is not accepted; it takes at least 128MiB`)
  }
  // A file has at most 10,000 parts, and each has to fit into memory.
  if (values.STORAGE === 's3' && values.UPLOAD_MAX_SIZE > maxUploadSizeFor(values.S3_MEMORY_BUDGET)) {
    problems.push(
      `UPLOAD_MAX_SIZE: "${values.UPLOAD_MAX_SIZE}" is not accepted; with STORAGE=s3 and this S3_MEMORY_BUDGET it takes at most ${maxUploadSizeFor(values.S3_MEMORY_BUDGET)}`,
    )
  }
  // Everything below the public prefix is public: nothing private may be stored there.
  if (
    values.PUBLISH === 'copy' &&
    !privatePrefixesOf(values).every((prefix) => isApart(values.PUBLIC_PREFIX, prefix))
  ) {
    problems.push(
      `PUBLIC_PREFIX: "${values.PUBLIC_PREFIX}" is not accepted; with PUBLISH=copy it takes a prefix that no private key begins with`,
    )
  }
  if (values.STORAGE === 'disk' && values.DOWNLOADS === 'redirect') {
    problems.push('DOWNLOADS: "redirect" is not accepted; with STORAGE=disk it takes stream')
  }
  if (values.WEBHOOK_URL !== undefined && values.WEBHOOK_SECRET === undefined) {
    problems.push('WEBHOOK_SECRET: "" is not accepted; with WEBHOOK_URL it takes a secret to sign with')
  }
  if (values.HOOK_URL !== undefined && values.HOOK_SECRET === undefined) {
    problems.push('HOOK_SECRET: "" is not accepted; with HOOK_URL it takes a secret to sign with')
  }
  if (values.ANALYSIS !== 'off') {
    const needed = {
      ANALYSIS_URL: 'the address of the engine',
      ANALYSIS_SECRET: 'a secret to sign with',
      PUBLIC_URL: 'the address under which the engine reaches this server',
    } as const
    for (const [name, what] of Object.entries(needed)) {
      if (values[name as keyof typeof needed] === undefined)
        problems.push(`${name}: "" is not accepted; with ANALYSIS=${values.ANALYSIS} it takes ${what}`)
    }
  }
  if (values.UPLOAD_MIN_SIZE > values.UPLOAD_MAX_SIZE) {
    problems.push(
      `UPLOAD_MIN_SIZE: "${values.UPLOAD_MIN_SIZE}" is not accepted; it takes at most UPLOAD_MAX_SIZE`,
    )
  }
  for (const side of ['WIDTH', 'HEIGHT'] as const) {
    if (values[`MEDIA_MIN_${side}`] > values[`MEDIA_MAX_${side}`]) {
      problems.push(
        `MEDIA_MIN_${side}: "${values[`MEDIA_MIN_${side}`]}" is not accepted; it takes at most MEDIA_MAX_${side}`,
      )
    }
  }
  if (values.METRICS_PORT !== undefined && values.METRICS_PORT !== 0 && values.METRICS_PORT === values.PORT) {
    problems.push(`METRICS_PORT: "${values.METRICS_PORT}" is not accepted; it takes another port than PORT`)
  }
  const tenantNeeded = { off: false, optional: undefined, required: true }[values.AUTH_TENANT]
  for (const { id, tenantId } of values.LINK_SIGNING_KEYS ?? []) {
    if (tenantNeeded !== undefined && tenantNeeded !== (tenantId !== null))
      problems.push(
        `LINK_SIGNING_KEYS: its value is not accepted; with AUTH_TENANT=${values.AUTH_TENANT} the key ${id} takes ${tenantNeeded ? 'a tenant, as in TENANT/' : 'no tenant, as in '}${id}:SECRET`,
      )
  }
  if (values.AUTH_DEV_TOKENS && values.NODE_ENV === 'production') {
    problems.push('AUTH_DEV_TOKENS: "true" is not accepted; with NODE_ENV=production it takes false')
  }
  if (values.AUTH_DEV_TOKENS && !AUTH_JWT_SECRET) {
    problems.push('AUTH_DEV_TOKENS: "true" is not accepted; without AUTH_JWT_SECRET it takes false')
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(config)
}

function readAuth(values: Variables, isNeeded: boolean, problems: string[]): Config['auth'] {
  const keys: AuthKey[] = []
  if (values.AUTH_JWT_SECRET) keys.push({ kind: 'secret', secrets: values.AUTH_JWT_SECRET })
  if (values.AUTH_JWT_PUBLIC_KEY) keys.push({ kind: 'public-key', pems: values.AUTH_JWT_PUBLIC_KEY })
  if (values.AUTH_JWKS_URL) keys.push({ kind: 'jwks', url: values.AUTH_JWKS_URL })
  const [key, second] = keys
  if (!key || second) {
    if (isNeeded || second) {
      problems.push(
        `AUTH_JWT_SECRET, AUTH_JWT_PUBLIC_KEY, AUTH_JWKS_URL: ${key ? 'several are' : 'none is'} set; exactly one is needed`,
      )
    }
    // No algorithm is accepted, so no token is.
    return { key: { kind: 'secret', secrets: [] }, algorithms: [] }
  }
  const algorithms = values.AUTH_ALGORITHMS ?? (key.kind === 'secret' ? ['HS256'] : ['RS256', 'ES256'])
  // A public key used as an HMAC secret would let anyone sign: the kinds are never mixed.
  const misfits = algorithms.filter((name) => name.startsWith('HS') !== (key.kind === 'secret'))
  if (misfits.length > 0) {
    const accepted = key.kind === 'secret' ? 'HS256, HS384, HS512' : 'RS*, PS* or ES* algorithms'
    problems.push(
      `AUTH_ALGORITHMS: "${misfits.join(',')}" is not accepted; with this kind of key it takes ${accepted}`,
    )
  }
  return { key, algorithms }
}

/** The prefixes of private keys in each place. */
function privatePrefixesOf(
  values: Record<'STORAGE' | 'S3_PREFIX', string> & { S3_BUCKET?: string | undefined },
) {
  if (values.STORAGE === 's3') return [values.S3_PREFIX]
  return values.S3_BUCKET === undefined ? [''] : ['', values.S3_PREFIX]
}

/** Whether private keys below `prefix`, whose placeholders may have any value, are outside of the public prefix. */
function isApart(publicPrefix: string, prefix: string): boolean {
  const literal = (template: string) => template.split('{', 1)[0] ?? ''
  const open = literal(publicPrefix)
  return ['uploads/', 'renditions/'].every((room) => {
    const closed = literal(prefix + room)
    return !closed.startsWith(open) && !open.startsWith(closed)
  })
}

function shown(name: string, value: string | undefined): string {
  return SECRET.has(name) ? 'its value' : JSON.stringify(value ?? '')
}
