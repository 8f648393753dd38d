import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { programPath } from '../services/requirements.ts'

/** A certificate of its own issue for `localhost` and 127.0.0.1, valid for two days. Paths of PEM files. */
export type Certificate = {
  certificate: string
  key: string
  /** Both in one file, as HAProxy has them. */
  both: string
  /** The certificate itself, for clients to trust. */
  pem: string
}

/** Makes it below this directory. A suite calls `requires('openssl')` first. */
export async function makeCertificate(directory: string): Promise<Certificate> {
  const [certificate, key, both] = ['tls.crt', 'tls.key', 'tls.pem'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  await execa(programPath('openssl'), [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ])
  const pem = await readFile(certificate, 'utf8')
  await writeFile(both, pem + (await readFile(key, 'utf8')))
  return { certificate, key, both, pem }
}
