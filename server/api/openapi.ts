import { z } from 'zod'
import type { AddressesOf } from '../http/addresses.ts'
import { CATALOGUE } from '../http/errors.ts'
import { ACCESS_PARAMETERS } from '../routes/query.ts'
import { type Access, type Answer, type Route, route } from '../routes/route.ts'
import { body } from './answers.ts'
import { AttachedTo } from './schema-parts.ts'
import * as shared from './schemas.ts'

type Json = Record<string, unknown>
type AnyRoute = Route<never>

export type DescriptionServices = { description: OpenApiDocument; addressesOf: AddressesOf }
export type OpenApiDocument = Json & { paths: Record<string, Json> }

export const descriptionRoutes = [
  route('get', '/openapi.json', 'public', {
    answers: { 200: body('OpenAPI 3.1', 'application/json') },
    summary: 'The description of all routes for machines',
    handle({ request, response }, { description, addressesOf }: DescriptionServices) {
      // Paths are appended to it, and none means the root of the host.
      const servers = [{ url: addressesOf(request).link('') || '/' }]
      response.json({ ...description, servers })
    },
  }),
]

const CODES = Object.keys(CATALOGUE) as (keyof typeof CATALOGUE)[]

const Count = z.number().int().nonnegative()

/** Open, as RFC 9457 § 3.2 asks: codes have members of their own, and later releases more of them. */
const ProblemDocument = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.enum(CODES),
    requestId: z.string(),
    reason: shared.Reason.nullish().describe('why a file was rejected'),
    mediaStatus: shared.Media.shape.status.optional().describe('with `not-ready`'),
    allowed: z.array(z.string()).optional().describe('accepted media types, with `type-not-allowed`'),
    maxSize: Count.optional().describe('bytes, with `too-large`'),
    minSize: Count.optional().describe('bytes, with `too-small`'),
    limit: Count.nullish().describe('of what is exceeded: bytes, uploads or open uploads'),
    used: Count.optional().describe('bytes, with `quota-bytes-exceeded`'),
    reserved: Count.optional().describe('bytes, with `quota-bytes-exceeded`'),
    open: Count.optional().describe('with `too-many-open-uploads`'),
    'expected-offset': Count.optional().describe('IETF draft, with `offset-conflict`'),
    'provided-offset': Count.optional().describe('IETF draft, with `offset-conflict`'),
  })
  .meta({ id: 'Problem' })

/** How each kind of access is shown; undefined for that of the whole document. */
const SECURITY: Record<Access, Json[] | undefined> = {
  public: [],
  'dev-code': [],
  token: undefined,
  'token-or-upload-ticket': [{ bearer: [] }, { uploadTicket: [] }],
  service: undefined,
  'token-or-ticket': [{ bearer: [] }, { ticket: [] }],
  'token-or-link': [{ bearer: [] }, { link: [] }],
  link: [{ link: [] }],
  'service-or-signature': [{ bearer: [] }, { signature: [] }],
}

/** Parameters by which access is decided. */
const SHOWN_IN_QUERY: Readonly<Record<string, string>> = {
  expires: 'Of a signed link: seconds since 1970',
  link: 'Of a signed link: its id, where it can be revoked',
  key: 'Of a signed link: the id of the key of the application that signed it',
  disposition: 'Of a signed link: `inline` or `attachment`',
  filename: 'Of a signed link: the name under which the file is saved',
  owner: 'The owner for whom the request is; for tokens with the scope `service` or `admin`',
  tenant: 'The tenant of that owner; for tokens with the scope `admin` and without a tenant',
}

/** The OpenAPI 3.1 document of these routes, except for unlisted ones. */
export function openApiDocument(routes: readonly AnyRoute[]): OpenApiDocument {
  const listed = routes.filter(({ isUnlisted }) => !isUnlisted)
  const paths: Record<string, Json> = {}
  for (const route of listed) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method]: operation(route) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Landfall', version: '1', description: 'Resumable uploads, and what becomes of them.' },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket' },
        uploadTicket: { type: 'apiKey', in: 'query', name: 'ticket' },
        link: { type: 'apiKey', in: 'query', name: 'signature' },
        signature: { type: 'apiKey', in: 'header', name: 'webhook-signature' },
      },
      responses: {
        Problem: {
          description: 'An error: its `code` is stable',
          content: { 'application/problem+json': { schema: ref(ProblemDocument) } },
        },
      },
      schemas: schemas(listed),
    },
  }
}

/**
 * All schemas with an id, each in one place, which `$ref` of the others lead to. Answers are described as they are sent,
 * and bodies of requests as they are accepted: open, since what is not known is ignored.
 */
function schemas(routes: readonly AnyRoute[]): Json {
  const answers = [ProblemDocument, ...routes.flatMap((route) => Object.values(route.answers).map(schemaOf))]
  const bodies = routes.map(({ body }) => body?.schema)
  return {
    ...converted([AttachedTo, ...Object.values(shared), ...answers], 'output', answers),
    ...converted(bodies, 'input'),
  }
}

const schemaOf = ({ schema }: Answer) => schema

/**
 * JSON Schema of those that have an id, by their ids; of `wanted` and what they refer to alone, where it is given. Fails
 * where one refers to a schema that is not among them.
 */
function converted(
  all: readonly (z.ZodType | undefined)[],
  io: 'input' | 'output',
  wanted: readonly (z.ZodType | undefined)[] = all,
): Json {
  const registry = z.registry<{ id: string }>()
  for (const schema of all) {
    const id = schema?.meta()?.id
    if (schema && id !== undefined) registry.add(schema, { id })
  }
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `${SCHEMAS}${id}`, io })
  if ('__shared' in schemas) throw new Error('a schema refers to one that has an id and no place')
  const used = new Set<string>()
  const use = (id: string) => {
    if (used.has(id)) return
    used.add(id)
    for (const [, other = ''] of JSON.stringify(schemas[id]).matchAll(REFERENCE)) use(other)
  }
  for (const schema of wanted) if (schema?.meta()?.id !== undefined) use(String(schema.meta()?.id))
  // Inside a document they have neither a dialect nor an id of their own.
  return Object.fromEntries(
    Object.entries(schemas).flatMap(([id, { $schema, $id, ...schema }]) =>
      used.has(id) ? [[id, schema]] : [],
    ),
  )
}

function operation({ summary, description, access, params, query, headers, body, answers }: AnyRoute): Json {
  const responses = Object.entries(answers).map(([status, answer]) => [status, response(answer)])
  return {
    summary,
    description,
    security: SECURITY[access],
    parameters: [
      ...Object.entries(params ?? {}).map(([name, { pattern }]) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string', pattern },
      })),
      ...Object.entries(query?.shape ?? {}).map(([name, member]) => {
        const { $schema: _, ...schema } = z.toJSONSchema(member, { io: 'input' })
        return { name, in: 'query', schema }
      }),
      // Those that are keys of security schemes are described there.
      ...(ACCESS_PARAMETERS[access] ?? []).flatMap((name) => {
        const description = SHOWN_IN_QUERY[name]
        return description === undefined
          ? []
          : [{ name, in: 'query', description, schema: { type: 'string' } }]
      }),
      ...(headers ?? []).map(({ name, description, example }) => ({
        name,
        in: 'header',
        description,
        schema: { type: 'string' },
        example,
      })),
    ],
    requestBody: body && { content: content(body.types, body.schema) },
    responses: { ...Object.fromEntries(responses), default: { $ref: '#/components/responses/Problem' } },
  }
}

const response = ({ description, types, schema }: Answer): Json => ({
  description,
  content: types && content(types, schema),
})

const content = (types: readonly string[], schema: z.ZodType | undefined): Json =>
  Object.fromEntries(types.map((type) => [type, schema ? { schema: ref(schema) } : {}]))

const SCHEMAS = '#/components/schemas/'
const REFERENCE = /"#\/components\/schemas\/([\w-]+)"/g

const ref = (schema: z.ZodType) => ({ $ref: `${SCHEMAS}${schema.meta()?.id}` })
