import { type Environment, variables } from '../config.ts'

/**
 * What a worker may need beside its configuration: where programs, certificates and its home are; what the AWS SDK, the
 * PostgreSQL client, Node and libvips read for themselves; how the loader and the allocator are tuned.
 */
const NEEDED = new Set(
  [
    'PATH HOME USER LOGNAME TMPDIR TZ LANG HOSTNAME',
    'HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy',
    'NODE_OPTIONS NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_USE_SYSTEM_CA NODE_USE_ENV_PROXY',
    'NODE_DEBUG NODE_COMPILE_CACHE NODE_V8_COVERAGE NODE_ICU_DATA',
    'PGHOST PGPORT PGUSER PGPASSWORD PGPASSFILE PGDATABASE PGOPTIONS PGAPPNAME PGTZ PGCONNECT_TIMEOUT',
    'PGSSLMODE PGSSLCERT PGSSLKEY PGSSLROOTCERT PGSSLNEGOTIATION PGCLIENTENCODING',
  ].flatMap((names) => names.split(' ')),
)
/** Each with what follows a `_`: other programs have names that begin alike. */
const NEEDED_KINDS = /^(AWS|SSL_CERT|OPENSSL|LC|LD|MALLOC|UV|VIPS|FONTCONFIG)_[A-Z0-9_]+$/

/**
 * The environment of a worker that a server starts: what a worker reads, and nothing else of ours. Who signs tokens is no
 * business of it (`AUTH_…`), and neither is whatever else this process was given.
 */
export function workerEnvironment(env: Environment): Environment {
  const isNeeded = (name: string) =>
    NEEDED.has(name) || NEEDED_KINDS.test(name) || (name in variables.shape && !name.startsWith('AUTH_'))
  return Object.fromEntries(Object.entries(env).filter(([name]) => isNeeded(name)))
}
