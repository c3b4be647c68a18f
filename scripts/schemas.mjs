// Messages as data, from which their JSON form is made: what scripts/generate.mjs writes to
// src/gen/schemas.ts, in the shape of src/base/schema.ts.
import protobuf from 'protobufjs';

/** Scalar types that have a JSON form. */
const scalars = new Set(['bool', 'bytes', 'int32', 'int64', 'string', 'uint32', 'uint64']);

const fullName = (object) => object.fullName.slice(1);

function kindOf(field) {
  if (field.resolvedType instanceof protobuf.Enum) return 'enum';
  if (field.resolvedType instanceof protobuf.Type) return 'message';
  if (scalars.has(field.type)) return field.type;
  throw new Error(`${field.fullName}: type ${field.type} has no JSON form`);
}

function schemaOf(field) {
  const { name, id: number, resolvedType, partOf } = field;
  return {
    name,
    number,
    kind: kindOf(field),
    ...(resolvedType === null ? {} : { type: fullName(resolvedType) }),
    ...(field.repeated ? { repeated: true } : {}),
    ...(partOf === null ? {} : { oneof: fullName(partOf) }),
  };
}

/** The messages that methods take and answer, with all that is in them. */
export function schemasOf(services) {
  const messages = {};
  const enums = {};
  const methods = {};
  const visit = (type) => {
    const name = fullName(type);
    if (name in messages || name in enums) return name;
    if (type instanceof protobuf.Enum) {
      enums[name] = type.values;
      return name;
    }
    messages[name] = [];
    for (const field of type.fieldsArray.toSorted((a, b) => a.id - b.id)) {
      field.resolve();
      messages[name].push(schemaOf(field));
      if (field.resolvedType !== null) visit(field.resolvedType);
    }
    return name;
  };
  for (const service of services) {
    for (const method of service.methodsArray) {
      method.resolve();
      const path = `/${fullName(service)}/${method.name}`;
      methods[path] = [visit(method.resolvedRequestType), visit(method.resolvedResponseType)];
    }
  }
  return { messages, enums, methods };
}
