import { type Environment, variables } from '../config.ts'

/**
 * Variables that a worker may need besides its configuration: for programs, certificates and its home; for the AWS SDK,
 * the PostgreSQL client, Node and libvips; for the loader and the allocator.
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
/** Prefixes that are followed by `_`. */
const NEEDED_KINDS = /^(AWS|SSL_CERT|OPENSSL|LC|LD|MALLOC|UV|VIPS|FONTCONFIG)_[A-Z0-9_]+$/

/**
 * The environment of a worker that a server starts: only variables that a worker reads. Keys for tokens (`AUTH_…`) and
 * for links to the bucket (`S3_LINK_…`) are not among them.
 */
export function workerEnvironment(env: Environment): Environment {
  const isNeeded = (name: string) =>
    NEEDED.has(name) || NEEDED_KINDS.test(name) || (name in variables.shape && !/^(AUTH|S3_LINK)_/.test(name))
  return Object.fromEntries(Object.entries(env).filter(([name]) => isNeeded(name)))
}
