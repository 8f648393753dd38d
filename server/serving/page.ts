import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import express, { type Request, type RequestHandler } from 'express'
import { onCode } from '../../system/error-code.ts'
import type { AddressesOf } from '../http/addresses.ts'

/** Paths that the page has beside `/`. */
export const PAGE_PATHS = ['/index.html', '/assets', '/favicon.svg']

/**
 * Serves the built page. It was built for any address: its document names its files relative to itself, and here below
 * the path at which proxies have the server, so that they are found also where the document's own address lacks the slash
 * at its end.
 */
export function servePage(directory: string, addressesOf: AddressesOf): RequestHandler {
  const serveFile = express.static(directory, { index: false, redirect: false })
  return async function serveOfPage(request, response, next) {
    if (!isDocument(request)) return serveFile(request, response, next)
    // Read for each request: the page may be rebuilt while the server runs.
    const built = await readFile(join(directory, 'index.html'), 'utf8').catch(onCode(['ENOENT'], undefined))
    if (built === undefined) return next()
    const text = placedBelow(addressesOf(request).reference(''), built)
    const etag = `"${createHash('sha256').update(text).digest('base64url')}"`
    response.set({ 'Cache-Control': 'no-cache', 'Content-Type': 'text/html; charset=utf-8', ETag: etag })
    if (request.fresh) response.status(304).end()
    else response.send(text)
  }
}

const isDocument = ({ method, path }: Request): boolean =>
  (method === 'GET' || method === 'HEAD') && (path === '/' || path === '/index.html')

/** A document with its relative addresses below this path; as it is where that is empty. */
export function placedBelow(prefix: string, document: string): string {
  if (prefix === '') return document
  const base = `${prefix.replaceAll('&', '&amp;').replaceAll("'", '&#39;')}/`
  return document.replaceAll(/(\s(?:href|src)=")\.\//g, (_, attribute: string) => attribute + base)
}
