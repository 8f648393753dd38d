import type { Request, Response } from 'express'
import { Webhook } from 'standardwebhooks'
import type { Ledger } from '../../ledger/database.ts'
import { parseMediaId, parseUploadId } from '../../ledger/ids.ts'
import { actingFor } from '../auth/acting.ts'
import type { Authenticate } from '../auth/authenticate.ts'
import { type ContentLinks, NO_LINK, type ShownLink, SIGNED_ONLY } from '../auth/content-links.ts'
import { isDevCode } from '../auth/dev-code.ts'
import { isDirectRequest } from '../auth/direct-request.ts'
import { isService, type Principal } from '../auth/principal.ts'
import { authenticateByTicket } from '../auth/stream-tickets.ts'
import { checkTicket, isTicketToken } from '../auth/upload-tickets.ts'
import { authenticated } from '../http/deadlines.ts'
import { notFound, Problem } from '../http/errors.ts'
import type { Access, Params } from './route.ts'

export type AccessOptions = {
  /** Requires a bearer token, and waits for the turn of its owner. */
  authenticate: Authenticate
  /** Has the tickets of streams. */
  db: Ledger
  links: ContentLinks
  /** Of the analysis engine. */
  secrets: readonly string[]
  devCode: string | undefined
  /** Whether media items may be public. Then only their route can tell which are. */
  publicMedia: 'off' | 'allowed'
}

/** The part of a route that decides access. */
export type Guarded = { access: Access; path: string; params?: Params }

/** Who asks, or the link that is shown in place of a token; neither for the public and a signature. */
export type Admitted = { who?: Principal | undefined; link?: ShownLink | undefined }

/** Authorizes a request, or fails. Calls `readBody` once. */
export type Admit = (
  route: Guarded,
  request: Request,
  response: Response,
  readBody: () => Promise<void>,
) => Promise<Admitted>

/** The check of each `Access`. */
export function accessChecks(options: AccessOptions): Admit {
  const { authenticate, db, links, devCode } = options
  const signers = options.secrets.map((secret) => new Webhook(secret))

  async function whoAsks({ access, path }: Guarded, request: Request, response: Response): Promise<Admitted> {
    switch (access) {
      case 'public':
        return {}
      case 'dev-code':
        if (devCode === undefined || !isDirectRequest(request)) throw notFound()
        if (!isDevCode(request.get('X-Dev-Code'), devCode)) throw notFound()
        return {}
      case 'token':
        return { who: await authenticate(request, response) }
      case 'token-or-upload-ticket': {
        const { ticket } = request.query
        // A form of HTML sends no header. A token would stay in logs for longer than it is of use.
        const isShown = request.headers.authorization === undefined && isTicketToken(ticket)
        return { who: await authenticate(request, response, isShown ? ticket : undefined) }
      }
      case 'token-or-ticket': {
        const { ticket } = request.query
        if (request.headers.authorization !== undefined || ticket === undefined)
          return { who: await authenticate(request, response) }
        return { who: await authenticateByTicket(request, response, db) }
      }
      case 'link':
      case 'token-or-link': {
        const id = parseMediaId(String(request.params.id))
        if (!id) throw notFound()
        const link = links.check(id, targetOf(path, request.params), request.query)
        if (link) {
          authenticated(request)
          return { link }
        }
        const isAnonymous = request.headers.authorization === undefined
        if (isAnonymous && access === 'token-or-link' && options.publicMedia === 'allowed') {
          checkUnsigned(request)
          return { link: NO_LINK }
        }
        const who = await authenticate(request, response)
        if (access === 'link') throw notFound()
        checkUnsigned(request)
        return { who }
      }
      case 'service':
      case 'service-or-signature': {
        const who = await authenticate(request, response)
        // A report of an analysis is no act for an owner.
        if (access === 'service' ? isService(who) : who.scopes.has('service')) return { who }
        throw new Problem('forbidden', 'The request requires a token with the scope "service".')
      }
    }
  }

  return async function admit(route, request, response, readBody) {
    const isSigned = route.access === 'service-or-signature' && hasSignatureAlone(request)
    const { who: caller, link }: Admitted = isSigned ? {} : await whoAsks(route, request, response)
    const subject = subjectOf(route, request)
    const who = caller && (await actingFor(db, caller, request, subject))
    if (who)
      await checkTicket(db, who, {
        isUploading: route.access === 'token-or-upload-ticket',
        uploadId: subject && parseUploadId(subject.id),
      })
    if (who) response.locals.principal = who
    await readBody()
    // A signature covers the body, so this body is read before the sender is known.
    if (isSigned) checkSignature(request, signers)
    return { who, link }
  }
}

/** What a request is for by its path, where that belongs to an owner. */
function subjectOf({ params = {} }: Guarded, request: Request) {
  for (const [name, { subject, parse }] of Object.entries(params)) {
    const id = String(request.params[name])
    if (subject && parse(id) !== undefined) return { subject, id }
  }
  return undefined
}

/** The target of a link to this path: the part below the media item. */
const targetOf = (path: string, params: Request['params']): string =>
  path.replace(/^.*?\/:id\//, '').replaceAll(/:(\w+)/g, (_, name: string) => String(params[name]))

/** What only a link can say is not ignored beside a token: fails with `invalid-request`. */
function checkUnsigned({ query }: Request): void {
  const name = SIGNED_ONLY.find((one) => query[one] !== undefined)
  if (name !== undefined) throw new Problem('invalid-request', `${name}: goes with the signature of a link`)
}

const hasSignatureAlone = ({ headers }: Request): boolean =>
  headers['webhook-signature'] !== undefined && headers.authorization === undefined

function checkSignature({ body, headers }: Request, signers: readonly Webhook[]): void {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0)
  const signature = Object.fromEntries(
    ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [
      name,
      String(headers[name] ?? ''),
    ]),
  )
  if (signers.some((signer) => isSignedBy(signer, bytes, signature))) return
  throw new Problem('token-invalid', 'The signature is invalid or older than five minutes.', {
    headers: { 'WWW-Authenticate': 'Bearer' },
  })
}

function isSignedBy(signer: Webhook, bytes: Buffer, signature: Record<string, string>): boolean {
  try {
    signer.verify(bytes, signature, { jsonParse: false })
    return true
  } catch {
    // The caller is not told what was wrong with the signature.
    return false
  }
}
